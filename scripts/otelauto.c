/* The command beside the library: starts a program under it, says beforehand what it will see. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/config.h"
#include "scripts/doctor/doctor.h"
#include "scripts/library.h"
#include "scripts/run.h"

static const char usage[] =
	"usage: otelauto run [options] -- program [arguments]\n"
	"       otelauto doctor [--json] program [arguments]\n"
	"       otelauto settings [--markdown]\n"
	"       otelauto version\n"
	"\n"
	"run       starts a program with libotelauto.so preloaded\n"
	"  --service NAME        service.name                (OTEL_SERVICE_NAME)\n"
	"  --exporter LIST       otlp, console, none         (OTEL_TRACES_EXPORTER)\n"
	"  --endpoint URL        collector                   (OTEL_EXPORTER_OTLP_ENDPOINT)\n"
	"  --metrics-port PORT   Prometheus endpoint         (OTEL_EXPORTER_PROMETHEUS_PORT)\n"
	"  --no-metrics          no Prometheus endpoint      (OTEL_METRICS_EXPORTER=none)\n"
	"doctor    says what will be seen of a program and what not, without running it\n"
	"          exit status: 0 will be seen, 1 in part, 2 not at all\n"
	"settings  lists the environment variables that the library reads\n"
	"version   prints versions\n";

static int usage_main(int argc, char **argv)
{
	fputs(usage, stdout);
	return 0;
}

static int settings_main(int argc, char **argv)
{
	oa_config_print_table(STDOUT_FILENO,
			      argc > 1 && !strcmp(argv[1], "--markdown") ? "md" : "txt");
	return 0;
}

static int version_main(int argc, char **argv)
{
	char library[PATH_MAX];

	printf("otelauto %s\n", OA_VERSION);
	if (library_find(library, sizeof(library)))
		printf("library: %s\n", library);
	else
		printf("library: not found near this program\n");
	return 0;
}

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "run", run_main },         { "doctor", doctor_main },     { "settings", settings_main },
	{ "version", version_main }, { "--version", version_main }, { "help", usage_main },
	{ "--help", usage_main },    { "-h", usage_main },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc - 1, argv + 1);
	if (argc > 1)
		fprintf(stderr, "otelauto: unknown command %s\n", argv[1]);
	fputs(usage, stderr);
	return 64;
}
