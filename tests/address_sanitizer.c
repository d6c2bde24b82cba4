/* Two functions in place of the sanitizer's own, which take the current stack for the thread's: on the stack of a greenlet the
 * first prints a warning into the program's stderr, and the second clears half the address space.
 *
 * No stacks are instrumented (see address_sanitizer.py), so there is nothing for either of them to do.
 */

#include <unistd.h>

void __asan_handle_no_return(void)
{
}

pid_t vfork(void)
{
    return fork();
}
