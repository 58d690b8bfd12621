/* Addresses and sockets of the metrics endpoint, by raw system calls. */
#include "exporter/scrape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/sys.h"

#define LISTEN_BACKLOG 8 /* connections that wait for the one being served */

static int scrape_addr_number(struct oa_scrape_addr *addr, const char *text)
{
	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, text, &addr->v4.sin_addr) == 1) {
		addr->v4.sin_family = AF_INET;
		addr->len = sizeof(addr->v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &addr->v6.sin6_addr) == 1) {
		addr->v6.sin6_family = AF_INET6;
		addr->len = sizeof(addr->v6);
		return 0;
	}
	return -EINVAL;
}

/* No other names: looking one up may take long and take locks. */
int oa_scrape_addr_parse(struct oa_scrape_addr *ret_addr, const char *host)
{
	char bare[INET6_ADDRSTRLEN] = "127.0.0.1";
	size_t len = strlen(host);
	int err = 0;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len && strcmp(host, "localhost") != 0) {
		err = len < sizeof(bare) ? 0 : -EINVAL;
		if (!err) {
			memcpy(bare, host,
			       len); /* not snprintf(): oa_scrape_yield() runs on host threads */
			bare[len] = '\0';
		}
	}
	if (!err)
		err = scrape_addr_number(ret_addr, bare);
	if (err)
		(void)scrape_addr_number(ret_addr, "127.0.0.1"); /* a number cannot fail */
	return err;
}

static void scrape_addr_set_port(struct oa_scrape_addr *addr, unsigned port)
{
	/* Both kinds have it in the same place. */
	addr->v4.sin_port = htons((uint16_t)port);
}

int oa_scrape_listen(const struct oa_scrape_addr *addr, unsigned port, oa_loop_lost_fn *lost,
		     unsigned *ret_port)
{
	int fd = oa_loop_fd_open(addr->sa.sa_family, SOCK_STREAM, 0, lost, NULL);
	struct oa_scrape_addr at = *addr;
	const int one = 1;
	long err;

	if (fd < 0)
		return fd;
	scrape_addr_set_port(&at, port);
	/* Connections of ours that linger must not keep the port from us, nor from the host. */
	(void)oa_sys5(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	err = oa_sys3(SYS_bind, fd, &at.sa, at.len);
	if (!err)
		err = oa_sys2(SYS_listen, fd, LISTEN_BACKLOG);
	if (!err)
		err = oa_sys3(SYS_getsockname, fd, &at.sa, &at.len);
	if (err) {
		oa_loop_fd_close(fd);
		return (int)err;
	}
	*ret_port = ntohs(at.v4.sin_port);
	return fd;
}

void oa_scrape_target(char *ret_text, size_t cap, const struct oa_scrape_addr *addr, unsigned port)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (addr->sa.sa_family == AF_INET6) {
		bool any = IN6_IS_ADDR_UNSPECIFIED(&addr->v6.sin6_addr);

		inet_ntop(AF_INET6, any ? &in6addr_loopback : &addr->v6.sin6_addr, host,
			  sizeof(host));
		snprintf(ret_text, cap, "[%s]:%u", host, port);
		return;
	}
	inet_ntop(AF_INET, &addr->v4.sin_addr, host, sizeof(host));
	snprintf(ret_text, cap, "%s:%u", addr->v4.sin_addr.s_addr ? host : "127.0.0.1", port);
}
