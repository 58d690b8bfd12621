/* Whether the process of a slot still exists, by what /proc says of its pid. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "core/sys.h"
#include "core/tree.h"

struct life {
	char state;       /* field 3 of /proc/<pid>/stat */
	uint64_t threads; /* 20 */
	uint64_t ticks;   /* 22: start time */
};

/* Moves *p, which stands at field `from`, to field `to`. returns its number */
static uint64_t life_field(const char **p, unsigned from, unsigned to)
{
	uint64_t value = 0;

	for (; from < to && **p; ++*p)
		from += **p == ' ';
	for (const char *digit = *p; *digit >= '0' && *digit <= '9'; digit++)
		value = value * 10 + (uint64_t)(*digit - '0');
	return value;
}

static bool life_read(uint32_t pid, struct life *ret_stat)
{
	const char *at_field;
	char path[32] = "/proc/", buf[384], digits[12],
	     *p; /* the fields wanted stand within the first 300 bytes */
	unsigned n = 0, at = 6;

	do
		digits[n++] = (char)('0' + pid % 10);
	while ((pid /= 10));
	while (n)
		path[at++] = digits[--n];
	memcpy(path + at, "/stat", 6);
	if (oa_sys_read_file(path, buf, sizeof(buf)) <= 0)
		return false;
	p = strrchr(buf, ')'); /* the command before it may hold anything */
	if (!p || !p[1] || !p[2])
		return false;
	at_field = p + 2;
	ret_stat->state = *at_field;
	ret_stat->threads = life_field(&at_field, 3, 20);
	ret_stat->ticks = life_field(&at_field, 20, 22);
	return true;
}

bool oa_proc_dead(const struct oa_proc *p)
{
	uint32_t pid = atomic_load(&p->pid);
	uint64_t known = atomic_load(&p->start_ticks);
	struct life now;

	if (oa_sys2(SYS_kill, pid, 0) == -ESRCH)
		return true;
	if (!life_read(pid, &now))
		return false;
	if (known && now.ticks != known)
		return true;
	/* A main thread that ended with pthread_exit() looks dead, and its process lives. */
	return (now.state == 'Z' || now.state == 'X') && now.threads <= 1;
}

uint64_t oa_proc_ticks(uint32_t pid)
{
	struct life now;

	return life_read(pid, &now) ? now.ticks : 0;
}
