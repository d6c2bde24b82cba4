"""The groups of test files that the table shows: patterns of `suite/file`, the first that fits."""

from fnmatch import fnmatchcase

GROUPS = {
    "greenlet: its C interface": "greenlet/test_cpp greenlet/test_extension_interface",
    "greenlet: the rest": "greenlet/*",
    "stdlib: ssl": "stdlib/test_ssl",
    "stdlib: subprocess": "stdlib/test_subprocess",
    "stdlib: threads": "stdlib/test_thread* stdlib/test_queue stdlib/test_interpreters stdlib/test_context",
    "stdlib: sockets": "stdlib/test_socket* stdlib/test_select* stdlib/test_timeout stdlib/test_asyn*",
    "stdlib: protocols": "stdlib/*",
    "gevent: pywsgi": "gevent/test__*pywsgi* gevent/test__*wsgi* gevent/test__example_webproxy gevent/test__greenness",
    "gevent: ssl": "gevent/test__*ssl* gevent/test__issue467",
    "gevent: subprocess": "gevent/test__subprocess* gevent/test__environ gevent/test__issue230",
    "gevent: dnspython, ares": "gevent/test__*dnspython* gevent/test__ares* gevent/test__socket_dns* gevent/test__getaddrinfo_import",
    "gevent: monkey patching": "gevent/test__monkey* gevent/test__threading_* gevent/test__import* gevent/test__threadpool_executor_patched",
    "gevent: its private parts": "gevent/test___* gevent/test__core gevent/test__doctests gevent/test__close_backend_fd",
    "gevent: names of modules": "gevent/test__all__ gevent/test__execmodules",
    "gevent: hub and loop": "gevent/test__hub* gevent/test__core* gevent/test__loop* gevent/test__destroy* gevent/test__nondefaultloop "
    "gevent/test__refcount_core gevent/test__systemerror gevent/test__sleep0 gevent/test__order gevent/test__signal gevent/test__os",
    "gevent: greenlets": "gevent/test__[gG]reenlet* gevent/test__real_greenlet gevent/test__api* gevent/test__timeout gevent/test__joinall "
    "gevent/test__iwait gevent/test__exc_info gevent/test__contextvars gevent/test__local gevent/test__util gevent/test__events",
    "gevent: events, locks, queues": "gevent/test__event gevent/test__semaphore gevent/test__lock gevent/test__queue",
    "gevent: pools and threads": "gevent/test__pool gevent/test__thread*",
    "gevent: sockets and servers": "gevent/test__socket* gevent/test__greenio gevent/test__server gevent/test__backdoor gevent/test__select* "
    "gevent/test__makefile_ref gevent/test__fileobject gevent/test__refcount gevent/test__example*",
    "gevent: the rest": "gevent/*",
}


def group_of(name: str) -> str:
    return next(
        group for group, patterns in GROUPS.items() if any(fnmatchcase(name, each) for each in patterns.split())
    )
