#pragma once
/* GET /api/status: how the library itself is doing, for people and scripts. Side thread only. */

/* returns the JSON text, to be freed by cJSON_free(); NULL: no memory */
char *oa_status_json(void);
