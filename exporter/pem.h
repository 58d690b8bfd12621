#pragma once
/* Certificates and keys, read whole when an exporter opens: later the host may have changed root or given up the right
 * to read them. */
#include <stddef.h>

struct oa_pem {
	char *text; /* NUL behind it; NULL: none */
	size_t len;
};

/* returns 0 or -errno, having said one line that names the file.
 * runs on side thread; heap: the arena; blocks: on the file */
int oa_pem_read(struct oa_pem *ret, const char *path);

/* The first bundle of CA certificates found in the places of Debian, Red Hat, SUSE, Alpine. */
int oa_pem_read_system_cas(struct oa_pem *ret);
