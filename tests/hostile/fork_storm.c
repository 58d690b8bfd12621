/* Rows 39, 40: four threads fork without end while others make exchanges; children use all of libc that takes a lock which a
 * fork does not reset, and end. */
#include <dlfcn.h>
#include <link.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>

#include "hostile.h"

static struct sockaddr_in addr;
static int listener;
static volatile bool over;

static int count_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info, (void)size;
	++*(int *)arg;
	return 0;
}

/* The host's own threads use none of these: whoever holds a lock of theirs at the fork is not the host. */
static void use_libc(int turn)
{
	struct passwd pw, *found;
	struct addrinfo *ai, numeric = { .ai_flags = AI_NUMERICHOST };
	char buf[2048], *heap;
	time_t now = 0;
	struct tm tm;
	int objects = 0;
	void *lib;

	localtime_r(&now, &tm);
	gmtime_r(&now, &tm);
	tzset();
	getpwuid_r(0, &pw, buf, sizeof(buf), &found);
	CHECK(setlocale(LC_ALL, turn % 2 ? "C" : "C.UTF-8") || !(turn % 2));
	dl_iterate_phdr(count_object, &objects);
	CHECK(objects > 1);
	setenv("HOSTILE", "1", 1);
	unsetenv("HOSTILE");
	if (turn % 3 == 0 && (lib = dlopen("libm.so.6", RTLD_NOW)))
		dlclose(lib);
	if (!getaddrinfo("127.0.0.1", NULL, &numeric, &ai))
		freeaddrinfo(ai);
	heap = malloc(100000);
	free(heap);
	snprintf(buf, sizeof(buf), "%d", turn);
}

static void *forks(void *arg)
{
	for (int i = 0; i < 25; i++) {
		pid_t pid = fork();

		if (!pid) {
			int fd[2];

			alarm(10);
			use_libc(i);
			listener = hostile_listen(&addr);
			hostile_pair(listener, &addr, fd);
			hostile_exchange(fd);
			if (i % 2)
				exit(3);
			_exit(3);
		}
		CHECK(hostile_wait(pid) == 3);
	}
	return arg;
}

static void *serves(void *arg)
{
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	while (!over) {
		int fd[2];

		pthread_mutex_lock(&m);
		hostile_pair(listener, &addr, fd);
		pthread_mutex_unlock(&m);
		hostile_exchange(fd);
		close(fd[0]);
		close(fd[1]);
	}
	return arg;
}

int main(void)
{
	pthread_t f[4], s[2];

	alarm(60);
	listener = hostile_listen(&addr);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&s[i], NULL, serves, NULL) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&f[i], NULL, forks, NULL) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(f[i], NULL) == 0);
	over = true;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(s[i], NULL) == 0);
	puts("100 children");
	return 0;
}
