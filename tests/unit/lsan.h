#pragma once
/* For tests of what a forked child forgets: in the library that memory is an arena's, which is
 * forgotten as a whole. With LeakSanitizer nothing that the test allocates from here on counts as
 * lost. */
void __lsan_disable(void) __attribute__((weak));

static inline void lsan_forgets_on_purpose(void)
{
	if (__lsan_disable)
		__lsan_disable();
}
