#include "scripts/doctor/doctor.h"

#include <stdio.h>
#include <string.h>

#include "scripts/doctor/report.h"

int doctor_main(int argc, char **argv)
{
	struct report report;
	bool json = false;
	int i = 1, status;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (strcmp(argv[i], "--json") != 0) {
			fprintf(stderr, "otelauto doctor: unknown option %s\n", argv[i]);
			return 64;
		}
		json = true;
	}
	if (i >= argc) {
		fprintf(stderr, "usage: otelauto doctor [--json] program [arguments]\n");
		return 64;
	}
	report_inspect(&report, argv[i]);
	report_judge(&report);
	if (json)
		report_print_json(&report);
	else
		report_print_text(&report);
	status = report.verdict;
	report_free(&report);
	return status;
}
