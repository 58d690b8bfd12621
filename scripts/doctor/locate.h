#pragma once
/* From what a user types to the file the kernel runs: PATH, symbolic links, #! lines. */
#include <limits.h>
#include <stdbool.h>

struct program {
	char path[PATH_MAX];    /* the ELF file in the end */
	char script[PATH_MAX];  /* the script it reads; "" when there is none */
	const char *shell_hint; /* a word on scripts that start others; NULL: none */
};

enum locate_result { LOCATE_OK, LOCATE_NOT_FOUND, LOCATE_NOT_EXECUTABLE, LOCATE_NO_INTERPRETER };

/* command   a path or a name looked up in PATH */
enum locate_result program_locate(const char *command, struct program *ret);

/* Last part of a path. */
const char *base_name(const char *path);
