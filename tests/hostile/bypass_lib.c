/* Rows 29, 30: loaded with RTLD_DEEPBIND, so that what it calls is libc's and nobody else's. */
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

ptrdiff_t bypass_send(int fd, const void *bytes, size_t len);
ptrdiff_t bypass_receive(int fd, void *to, size_t len);

ptrdiff_t bypass_send(int fd, const void *bytes, size_t len)
{
	return send(fd, bytes, len, MSG_NOSIGNAL);
}

ptrdiff_t bypass_receive(int fd, void *to, size_t len)
{
	return recv(fd, to, len, MSG_WAITALL);
}
