/* P3, the start of a process: posix_spawn and wait of a program in random order of its
 * environments: as it is, the same again (the A/A control), and with the library.
 *
 * spawn --program FILE --library FILE [--runs N] [--cpu N] [-- ARGUMENT...]
 * The program gets no environment but that, and what there is of OTEL_*. Prints one JSON object, times in us. */
#include "measure.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLAIN, AGAIN, LOADED, KINDS };

#define SETTINGS_MAX 8

/* The program's own arguments, behind "--"; its name goes in front. */
static char **arguments(int argc, char **argv, char *program)
{
	static char *none[2];

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--")) {
			argv[i] = program;
			return &argv[i];
		}
	none[0] = program;
	return none;
}

static void add_settings(char **env)
{
	unsigned n = 1;

	for (char **e = environ; *e && n <= SETTINGS_MAX; e++)
		if (!strncmp(*e, "OTEL_", 5))
			env[n++] = *e;
}

static double once_us(char **argv, char **env)
{
	uint64_t start = measure_now_ns();
	pid_t pid;
	int status;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, env) || waitpid(pid, &status, 0) != pid ||
	    status)
		measure_die(argv[0]);
	return (double)(measure_now_ns() - start) / 1e3;
}

int main(int argc, char **argv)
{
	const char *library = measure_option(argc, argv, "--library", "");
	char *program = strdup(measure_option(argc, argv, "--program", "/bin/true"));
	unsigned runs = (unsigned)measure_number(argc, argv, "--runs", 400), order[KINDS];
	double *us[KINDS], median[KINDS], ns_per_tick = measure_ns_per_tick(), before;
	uint64_t random = measure_seed();
	char preload[4096];
	/* Of equal size, so that the stacks of the programs are alike. */
	char *plain[SETTINGS_MAX + 2] = { NULL }, *loaded[SETTINGS_MAX + 2] = { preload };
	char **args = arguments(argc, argv, program);

	snprintf(preload, sizeof(preload), "XX_PRELOAD=%s", library);
	plain[0] = strdup(preload);
	memcpy(preload, "LD", 2);
	add_settings(plain);
	add_settings(loaded);
	measure_pin(measure_number(argc, argv, "--cpu", -1));
	for (unsigned k = 0; k < KINDS; k++) {
		us[k] = calloc(runs, sizeof(double));
		order[k] = k;
	}
	before = measure_anchor_ns(ns_per_tick);
	for (unsigned i = 0; i < runs + 20; i++) {
		measure_shuffle(order, KINDS, &random);
		for (unsigned k = 0; k < KINDS; k++) {
			double t = once_us(args, order[k] == LOADED ? loaded : plain);

			if (i >= 20)
				us[order[k]][i - 20] = t;
		}
	}
	for (unsigned k = 0; k < KINDS; k++)
		median[k] = measure_median(us[k], runs);
	printf("{\"getppid_ns\": %.1f, \"anchor_drift\": %.3f, \"plain_us\": %.1f, \"aa_us\": "
	       "%.1f, "
	       "\"added_us\": %.1f, \"ratio\": %.4f}\n",
	       before, measure_anchor_ns(ns_per_tick) / before, median[PLAIN],
	       median[AGAIN] - median[PLAIN], median[LOADED] - median[PLAIN],
	       median[LOADED] / median[PLAIN]);
	return 0;
}
