/* For the AddressSanitizer job (feature `canary`): a call that does not return is nothing to the sanitizer.
 *
 * Before such a call the sanitizer would take the poison off the rest of the stack, finds itself on the stack of a greenlet, which it
 * does not know, and says so on stderr in every program that fails or ends a greenlet. The job instruments no stacks
 * (see tests/address_sanitizer.py), so there is no poison to take off. Linked into the module, this is found before the sanitizer's own.
 */

void __asan_handle_no_return(void)
{
}
