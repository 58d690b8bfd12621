/* Rows 109, 120: another preloaded library, whose clocks stand still (libfaketime) and whose own state is gone when the
 * process ends (nss_wrapper). A thread that is not the program's has no business in it. */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void only_for_the_program(void)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	if (!strcmp(name, "otelauto"))
		abort();
}

int clock_gettime(clockid_t id, struct timespec *ret_now)
{
	(void)id;
	only_for_the_program();
	*ret_now = (struct timespec){ .tv_sec = 1600000000 };
	return 0;
}

int gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
	(void)zone;
	only_for_the_program();
	*ret_now = (struct timeval){ .tv_sec = 1600000000 };
	return 0;
}

time_t time(time_t *ret_now)
{
	only_for_the_program();
	if (ret_now)
		*ret_now = 1600000000;
	return 1600000000;
}

int gethostname(char *ret_name, size_t bytes)
{
	only_for_the_program();
	strncpy(ret_name, "stopped", bytes);
	return 0;
}

uid_t getuid(void)
{
	only_for_the_program();
	return 0;
}

uid_t geteuid(void)
{
	only_for_the_program();
	return 0;
}
