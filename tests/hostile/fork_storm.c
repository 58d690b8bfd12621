/* Rows 39, 40: four threads fork without end while others make exchanges; children use libc and end. */
#include "hostile.h"

#include <pwd.h>

static struct sockaddr_in addr;
static int listener;
static volatile bool over;

static void *forks(void *arg)
{
	for (int i = 0; i < 25; i++) {
		pid_t pid = fork();

		if (!pid) {
			time_t now = 0;
			struct tm tm;
			char *p;
			int fd[2];

			alarm(5);
			localtime_r(&now, &tm);
			p = malloc(100000);
			free(p);
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
