/* One byte for each low descriptor: what it was made as. Costs nothing but its 1 KiB, needs no activation, and
 * spares the question to the kernel that connect() would have to ask otherwise. A hint: whoever closes behind
 * our back leaves it stale until the number is made anew. */
#include "hooks/hook.h"

#include <stdatomic.h>
#include <sys/socket.h>

#include "core/sys.h"

#define NOTE_FDS 1024

static _Atomic uint8_t notes[NOTE_FDS];

OA_HOT void oa_note_set(int fd, enum oa_note what)
{
	if ((unsigned)fd < NOTE_FDS)
		atomic_store_explicit(&notes[fd], (uint8_t)what, memory_order_relaxed);
}

void oa_note_forget_range(unsigned first, unsigned last)
{
	for (unsigned fd = first; fd <= last && fd < NOTE_FDS; fd++)
		atomic_store_explicit(&notes[fd], OA_NOTE_UNKNOWN, memory_order_relaxed);
}

static enum oa_note note_get(int fd)
{
	return (unsigned)fd < NOTE_FDS ? (enum oa_note)atomic_load_explicit(&notes[fd], memory_order_relaxed) :
					 OA_NOTE_UNKNOWN;
}

void oa_note_replay(void)
{
	for (int fd = 0; fd < NOTE_FDS; fd++) {
		enum oa_note what = note_get(fd);

		if (what == OA_NOTE_WAKE)
			oa_conn_on_wake_fd(fd);
		else if (what == OA_NOTE_OTHER)
			oa_conn_on_socket(fd, AF_UNSPEC, SOCK_DGRAM);
	}
}

static bool note_ask_kernel(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (oa_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return false;
	oa_note_set(fd, type == SOCK_STREAM ? OA_NOTE_STREAM : OA_NOTE_OTHER);
	return type == SOCK_STREAM;
}

bool oa_hook_is_stream(int fd)
{
	enum oa_fd_kind kind = oa_hook_kind(fd);
	enum oa_note what = note_get(fd);

	if (kind == OA_FD_STREAM || kind == OA_FD_LISTENER || kind == OA_FD_CONN)
		return true;
	if (kind != OA_FD_NONE)
		return false;
	return what == OA_NOTE_UNKNOWN ? note_ask_kernel(fd) : what == OA_NOTE_STREAM;
}
