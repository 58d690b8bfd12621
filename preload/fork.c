/* Walks modules.def around fork(). A child made by a bare clone or _Fork never runs these handlers; a page that the
 * kernel wipes in children tells it, and the first hook that notices makes up for them. A vfork child shares
 * our memory and is nobody's business here. */
#include "preload/fork.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "core/sys.h"
#include "core/thread.h"
#include "hooks/hook.h"
#include "preload/module.h"

/* What pthread_atfork() calls; itself it is in the part of libc that start files belong to, which we do without. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso_handle);

static volatile uint8_t *fork_mark;

static void fork_note_self(void)
{
	if (fork_mark)
		*fork_mark = 1;
	atomic_store(&oa_hook_pid, (int32_t)oa_sys0(SYS_getpid));
}

static void fork_before(void)
{
	for (unsigned i = oa_modules_count; i-- > 0;)
		if (oa_modules[i].fork_before)
			oa_modules[i].fork_before();
}

static void fork_parent(void)
{
	for (unsigned i = 0; i < oa_modules_count; i++)
		if (oa_modules[i].fork_parent)
			oa_modules[i].fork_parent();
}

static void fork_child(void)
{
	int err = errno;

	fork_note_self();
	oa_tls.guard_sp = 0; /* should a signal handler in the middle of a hook have forked */
	for (unsigned i = 0; i < oa_modules_count; i++)
		if (oa_modules[i].fork_child)
			oa_modules[i].fork_child();
	errno = err;
}

/* Old kernels have no such page: then only children of fork() are told apart. */
static void fork_mark_map(void)
{
	uint8_t *page = oa_sys_map(4096, 0);

	if (!page)
		return;
	if (oa_sys3(SYS_madvise, page, 4096, MADV_WIPEONFORK)) {
		(void)oa_sys2(SYS_munmap, page, 4096);
		return;
	}
	*page = 1;
	fork_mark = page;
	oa_hook_fork_mark = page;
}

int oa_fork_init(void)
{
	oa_hook_fork_missed = fork_child;
	fork_mark_map();
	fork_note_self();
	return -__register_atfork(fork_before, fork_parent, fork_child, NULL);
}
