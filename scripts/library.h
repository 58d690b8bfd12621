#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Path of libotelauto.so: beside this program, in ../lib or where it was installed. */
bool library_find(char *ret, size_t cap);
