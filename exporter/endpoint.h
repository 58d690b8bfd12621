#pragma once
/* Where an HTTP exporter sends to, from a setting. Pure. */
#include <stdbool.h>

#define OA_URL_MAX       1024
#define OA_UNIX_PATH_MAX 108 /* sockaddr_un */

struct oa_endpoint {
	char url[OA_URL_MAX];              /* for curl; may hold a password */
	char shown[OA_URL_MAX];            /* for messages: without user, password and query */
	char unix_path[OA_UNIX_PATH_MAX];  /* "" for TCP; '@' in front: abstract name */
	char host[256];                    /* without brackets; "" for Unix sockets */
	bool https;
};

enum oa_endpoint_path {
	OA_PATH_AS_IS, /* "/" when the setting has none */
	OA_PATH_BASE,  /* the setting is a directory: suffix is appended (OTEL_EXPORTER_OTLP_ENDPOINT) */
	OA_PATH_FIXED, /* suffix, whatever the setting has (gRPC) */
};

/* `http://host:port/path`, `https://…`, `unix:///path/of/socket` (`unix://@name`: abstract), or
 * `http+unix://%2Fpath%2Fof%2Fsocket/path`.
 *
 * suffix  "v1/traces"; `unix:` URLs have no path of their own and always get it
 * returns NULL, or what is wrong with it, as the end of a message
 */
const char *oa_endpoint_parse(struct oa_endpoint *ret, const char *setting, enum oa_endpoint_path how,
			      const char *suffix);
