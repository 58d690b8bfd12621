#define OA_LOG_DOMAIN "export"
#include "exporter/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/sys.h"

#define PEM_MAX (4u << 20) /* bundles are a quarter of a megabyte */

static const char *const ca_places[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static long pem_read_all(long fd, char *text, size_t cap)
{
	size_t len = 0;
	long n;

	do {
		n = oa_sys3(SYS_read, fd, text + len, cap - len);
		if (n < 0 && n != -EINTR)
			return n;
		len += n > 0 ? (size_t)n : 0;
	} while (n && len < cap);
	return len < cap ? (long)len : -EFBIG;
}

static int pem_load(struct oa_pem *ret, const char *path)
{
	long fd = oa_sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0), len;
	char *text, *fit;

	if (fd < 0)
		return (int)fd;
	text = malloc(PEM_MAX);
	len = text ? pem_read_all(fd, text, PEM_MAX) : -ENOMEM;
	(void)oa_sys1(SYS_close, fd); /* was only read */
	if (len < 0) {
		free(text);
		return (int)len;
	}
	text[len] = '\0';
	fit = realloc(text, (size_t)len + 1);
	ret->text = fit ? fit : text;
	ret->len = (size_t)len;
	return 0;
}

int oa_pem_read(struct oa_pem *ret, const char *path)
{
	int err = pem_load(ret, path);

	if (err)
		oa_warn("cannot read %s (error %d): nothing is sent", path, -err);
	return err;
}

int oa_pem_read_system_cas(struct oa_pem *ret)
{
	for (size_t i = 0; i < sizeof(ca_places) / sizeof(ca_places[0]); i++)
		if (pem_load(ret, ca_places[i]) == 0)
			return 0;
	oa_warn("no bundle of CA certificates found, and OTEL_EXPORTER_OTLP_CERTIFICATE names none: nothing is sent");
	return -ENOENT;
}
