"""Dictionaries for requests that do not give their secrets away when somebody prints them."""


class Environ(dict):
    """A dict for the environment of a request; copying keeps the class, pickling makes it a plain dict."""

    __slots__ = ()

    def copy(self):
        return self.__class__(self)

    def iteritems(self):
        return iter(self.items())

    def __reduce_ex__(self, proto):
        return (dict, (), None, None, iter(self.items()))


class SecureEnviron(Environ):
    """An environment whose repr shows only how many keys it has, or the values of those that are named safe.

    Each of the three settings has a class-wide value, `default_` and its name, and can be set for an instance:

    - ``secure_repr``: say only how many keys there are, unless keys are named safe;
    - ``whitelist_keys``: the keys whose values are printed;
    - ``print_masked_keys``: whether the other keys are printed, with a mask for a value.
    """

    default_secure_repr = True
    default_whitelist_keys: tuple[str, ...] = ()
    default_print_masked_keys = True

    __slots__ = ("print_masked_keys", "secure_repr", "whitelist_keys")

    def __getattr__(self, name):
        if name in SecureEnviron.__slots__:
            return getattr(type(self), "default_" + name)
        raise AttributeError(name)

    def __repr__(self):
        if self.whitelist_keys:
            return repr(self._shown())
        if self.secure_repr:
            return f"<pywsgi.SecureEnviron dict (keys: {len(self)}) at {id(self):#x}>"
        return dict.__repr__(self)

    __str__ = __repr__

    def _shown(self):
        safe = self.whitelist_keys
        if self.print_masked_keys:
            return {key: value if key in safe else "<MASKED>" for key, value in self.items()}
        return {key: value for key, value in self.items() if key in safe}


class WSGISecureEnviron(SecureEnviron):
    """What is printed of a request whose application failed: where it came from, and for which host."""

    default_whitelist_keys = ("REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST")
    default_print_masked_keys = False

    __slots__ = ()
