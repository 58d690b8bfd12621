#include "scripts/run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/doctor/report.h"
#include "scripts/library.h"

static const struct {
	const char *option, *variable, *fixed;
} options[] = {
	{ "--service", "OTEL_SERVICE_NAME", NULL },
	{ "--exporter", "OTEL_TRACES_EXPORTER", NULL },
	{ "--endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", NULL },
	{ "--metrics-port", "OTEL_EXPORTER_PROMETHEUS_PORT", NULL },
	{ "--no-metrics", "OTEL_METRICS_EXPORTER", "none" },
};

/* Sets what one option says. returns how many arguments it took, 0 when it is wrong */
static int take_option(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		size_t len = strlen(options[i].option);
		const char *value = options[i].fixed;
		int taken = 1;

		if (strncmp(argv[0], options[i].option, len) != 0)
			continue;
		if (!value && argv[0][len] == '=')
			value = argv[0] + len + 1;
		else if (argv[0][len])
			continue;
		else if (!value && argc > 1)
			value = argv[taken++];
		if (!value) {
			fprintf(stderr, "otelauto run: %s needs a value\n", argv[0]);
			return 0;
		}
		setenv(options[i].variable, value, 1);
		return taken;
	}
	fprintf(stderr, "otelauto run: unknown option %s\n", argv[0]);
	return 0;
}

/* Whether a list of LD_PRELOAD, parted by colons and blanks, names the path. */
static bool preloads_already(const char *list, const char *path)
{
	size_t len = strlen(path);

	while (*list) {
		size_t item = strcspn(list, ": ");

		if (item == len && !strncmp(list, path, len))
			return true;
		list += item + (list[item] != '\0');
	}
	return false;
}

static bool set_preload(void)
{
	const char *before = getenv("LD_PRELOAD");
	char library[PATH_MAX], *both;

	if (!library_find(library, sizeof(library))) {
		fprintf(stderr, "otelauto run: libotelauto.so is neither beside otelauto nor in a "
				"lib folder "
				"near it\n");
		return false;
	}
	if (strpbrk(library, ": ")) {
		fprintf(stderr,
			"otelauto run: the loader cannot preload %s: no blanks and colons in its "
			"path\n",
			library);
		return false;
	}
	if (!before || !*before)
		return setenv("LD_PRELOAD", library, 1) == 0;
	if (preloads_already(before, library))
		return true;
	if (asprintf(&both, "%s:%s", before, library) < 0)
		return false;
	return setenv("LD_PRELOAD", both, 1) == 0;
}

/* Says on stderr why nothing will be seen; the program runs all the same. */
static void warn_when_blind(const char *command)
{
	struct report report;

	report_inspect(&report, command);
	report_judge(&report);
	for (size_t i = 0; report.located == LOCATE_OK && i < report.blockers.count; i++)
		fprintf(stderr, "otelauto: warning: %s will not be observed: %s\n", command,
			report.blockers.items[i]);
	report_free(&report);
}

int run_main(int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0) {
		int taken = take_option(argc - i, argv + i);

		if (!taken)
			return 64;
		i += taken;
	}
	if (i < argc && !strcmp(argv[i], "--"))
		i++;
	if (i >= argc) {
		fprintf(stderr, "usage: otelauto run [options] -- program [arguments]\n");
		return 64;
	}
	warn_when_blind(argv[i]);
	if (!set_preload())
		return 64;
	execvp(argv[i], argv + i);
	fprintf(stderr, "otelauto run: %s: %s\n", argv[i], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
