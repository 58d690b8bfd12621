/* Row 120: another preloaded library that counts the same calls; it reports at the end. */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int reads, writes, connects;

ssize_t read(int fd, void *to, size_t len)
{
	reads++;
	return ((ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read"))(fd, to, len);
}

/* A header that is added makes a write() into a writev(): one call either way. */
ssize_t write(int fd, const void *bytes, size_t len)
{
	writes++;
	return ((ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, bytes, len);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	connects++;
	return ((int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect"))(fd, to, len);
}

__attribute__((destructor)) static void report(void)
{
	dprintf(1, "%d reads %d writes %d connects\n", reads, writes, connects);
}
