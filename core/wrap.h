#pragma once
/* Declares every __wrap_x() of wraps.def with the type that the system's headers give x. */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The POSIX strerror_r(), under the name that glibc gives it; no header declares it with _GNU_SOURCE. */
int __xpg_strerror_r(int error, char *text, size_t bytes);

#define OA_WRAP(x) extern __typeof__(x) __wrap_##x;
#include "core/wraps.def"
#undef OA_WRAP
