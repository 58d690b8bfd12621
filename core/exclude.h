#pragma once
/* Which programs are never observed: OTELAUTO_EXCLUDE first, then OTELAUTO_INCLUDE, then
 * exclude.def. */
#include <stdbool.h>

enum oa_program_verdict {
	OA_PROGRAM_OBSERVED,
	OA_PROGRAM_EXCLUDED,     /* by OTELAUTO_EXCLUDE */
	OA_PROGRAM_NOT_INCLUDED, /* OTELAUTO_INCLUDE is set and does not name it */
	OA_PROGRAM_BUILT_IN,     /* on the built-in list */
};

/* exe_name   name of the executable without its folder
 * runs on   the constructor, tools; needs oa_config; signal-safe: yes; heap: no; no system calls */
enum oa_program_verdict oa_program_verdict(const char *exe_name);
bool oa_program_excluded(const char *exe_name);

/* The glob of the built-in list that matches, or NULL; settings do not count. */
const char *oa_program_on_built_in_list(const char *exe_name);
