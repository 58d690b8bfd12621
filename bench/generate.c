/* A program under test that makes spans at a steady rate: it serves requests to itself over a Unix
 * socket, whose other end the library does not see. When it is done it says how many, and stays
 * until stdin ends so that its metrics can be read.
 *
 * generate [--rate N] [--seconds N] [--routes N] [--cpu N]
 *   --routes  as many paths, in turn
 * Prints one JSON object; late_ms is how late the latest of its wake-ups from a sleep was. */
#include "measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 1000000u

static int client, server;
static unsigned routes;
static uint64_t produced;

static void open_both(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len;

	/* An abstract name: nothing to remove afterwards. */
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  (size_t)snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1,
					   "otelauto-generate-%d", (int)getpid()));
	if (listener < 0 || bind(listener, (void *)&at, len) || listen(listener, 1))
		measure_die("listener");
	client = measure_raw.socket(AF_UNIX, SOCK_STREAM, 0);
	if (client < 0 || measure_raw.connect(client, (void *)&at, len))
		measure_die("connect");
	server = accept(listener, NULL, NULL);
	if (server < 0)
		measure_die("accept");
}

static void exchange(void)
{
	static char buf[4096];
	char request[1024];
	const char *text = measure_request;
	size_t len = strlen(text);

	if (routes) {
		len = (size_t)snprintf(request, sizeof(request), "GET /some/route/%u%s",
				       (unsigned)(produced % routes),
				       strstr(measure_request, " HTTP/1.1\r\n"));
		text = request;
	}
	if (measure_raw.write(client, text, len) != (ssize_t)len ||
	    read(server, buf, sizeof(buf)) <= 0 ||
	    write(server, measure_response, measure_response_len) <= 0 ||
	    measure_raw.read(client, buf, sizeof(buf)) <= 0)
		measure_die("exchange");
	produced++;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

int main(int argc, char **argv)
{
	uint64_t rate = (uint64_t)measure_number(argc, argv, "--rate", 100000);
	uint64_t seconds = (uint64_t)measure_number(argc, argv, "--seconds", 1);
	uint64_t start, wanted, now, due, late = 0;
	char c;

	routes = (unsigned)measure_number(argc, argv, "--routes", 0);
	measure_find_libc();
	measure_make_response();
	open_both(); /* before we are pinned: the library's thread stays free */
	measure_pin(measure_number(argc, argv, "--cpu", -1));
	start = measure_now_ns();
	for (uint64_t tick = 1; produced < rate * seconds; tick++) {
		wanted = rate * tick * TICK_NS / 1000000000u;
		while (produced < wanted)
			exchange();
		due = start + tick * TICK_NS;
		if (measure_now_ns() >= due)
			continue;
		sleep_until(due);
		now = measure_now_ns();
		late = now - due > late ? now - due : late;
	}
	now = measure_now_ns();
	printf("{\"produced\": %lu, \"seconds\": %.3f, \"per_second\": %.0f, \"late_ms\": %.1f}\n",
	       produced, (double)(now - start) / 1e9,
	       (double)produced * 1e9 / (double)(now - start), (double)late / 1e6);
	fflush(stdout);
	while (measure_raw.read(0, &c, 1) > 0)
		;
	return 0;
}
