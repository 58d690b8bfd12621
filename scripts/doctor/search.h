#pragma once
/* Finds the libraries a program is linked with, as the loader would, without running anything. */
#include <limits.h>
#include <stddef.h>

#include "scripts/doctor/elf_file.h"

#define OBJECTS_MAX 256

struct object {
	char name[128]; /* as asked for: the soname */
	char path[PATH_MAX];
	struct elf elf;
	int loader; /* index of the object that asked first */
};

struct objects {
	struct object *list; /* [0] is the program */
	size_t count;
	char missing[1024]; /* names not found, comma separated */
};

/* returns what opening the program itself gave */
enum elf_result objects_open(struct objects *objects, const char *program);
void objects_close(struct objects *objects);
