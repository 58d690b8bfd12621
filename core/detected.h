#pragma once
/* Which attributes that were found out about this process and its host may be told: OTELAUTO_RESOURCE_DETECTORS, _INCLUDE and
 * _EXCLUDE. What the user says of the resource is not asked. */
#include <stdbool.h>

/* runs on   any thread; signal-safe: yes; heap: no */
bool oa_detected_is_wanted(const char *key);
