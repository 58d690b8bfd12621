#pragma once
/* Names of metrics as the Prometheus endpoint writes them, by OpenTelemetry's compatibility rules: dots to underscores, the
 * unit as a suffix. All may run anywhere, without heap and system calls. */
#include <stdbool.h>
#include <stddef.h>

#define OA_PROM_NAME_MAX 128

/* "seconds", "bytes"; NULL: the name has no suffix */
const char *oa_prom_unit(const char *unit);

/* name: up to 100 bytes. returns the length; a NUL is behind it */
size_t oa_prom_name(char ret[OA_PROM_NAME_MAX], const char *name, const char *unit);

/* Whether families of these names, or samples of theirs, could be taken for one another; in any case. */
bool oa_prom_names_clash(const char *a, const char *b);
