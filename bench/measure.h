#pragma once
/* What the measuring programs share: time in ticks, the run's yardstick, medians, random numbers,
 * loopback sockets. They are programs of their own and link nothing of the library; some of them
 * run under it. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <x86intrin.h>

#define MEASURE_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* libc's own functions, found past a preloaded library. */
struct measure_libc {
	ssize_t (*read)(int, void *, size_t);
	ssize_t (*write)(int, const void *, size_t);
	int (*socket)(int, int, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	int (*accept4)(int, struct sockaddr *, socklen_t *, int);
	int (*close)(int);
};
extern struct measure_libc measure_raw,
	measure_plt; /* measure_plt: what the program is linked to */
void measure_find_libc(void);

void measure_die(const char *what);

/* One tick of the time stamp counter, measured against the clock for 50 ms. */
double measure_ns_per_tick(void);

/* The cheapest system call, in ns: every figure is printed with it. */
double measure_anchor_ns(double ns_per_tick);

uint64_t measure_now_ns(void);

/* The calling thread, to one processor; nothing when cpu < 0. */
void measure_pin(int cpu);

void measure_raise_fd_limit(void);

/* splitmix64; the state starts anywhere. */
uint64_t measure_random(uint64_t *state);
uint64_t measure_seed(void);

/* Fisher-Yates. */
void measure_shuffle(unsigned *v, unsigned n, uint64_t *state);

/* Sorts what it is given. */
double measure_median(double *v, size_t n);
void measure_sort_u32(uint32_t *v, size_t n);

/* A listener on 127.0.0.1 by the functions the program is linked to; port 0: any. */
int measure_listen(struct sockaddr_in *ret_at, unsigned port);

/* Writes or reads all of it; false when the other side is gone. */
bool measure_write_all(int fd, const void *from, size_t len);
bool measure_read_all(int fd, void *to, size_t len);

/* The value behind `name` on a command line of pairs, or `otherwise`; the last one counts. */
const char *measure_option(int argc, char **argv, const char *name, const char *otherwise);
int measure_number(int argc, char **argv, const char *name, int otherwise);

/* What all programs send and answer: 430 bytes with nine headers, 857 bytes with five. */
extern const char measure_request[], measure_request_untraced[];
extern char measure_response[];
extern size_t measure_response_len;
void measure_make_response(void);
