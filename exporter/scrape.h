#pragma once
/* The parts of the metrics endpoint. scrape.c decides who serves, on which port, and when not; what
 * others call is in exporter.h. All of it runs on the side thread unless said otherwise. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "exporter/loop.h"

/* -- scrape_listen.c: addresses and the listening socket -- */

struct oa_scrape_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

/* "127.0.0.1", "localhost", "::", "[::1]". returns 0, or -EINVAL for other names: then it is
 * 127.0.0.1 */
int oa_scrape_addr_parse(struct oa_scrape_addr *ret_addr, const char *host);

/* A listening socket on the address with this port; 0 = any.
 * returns the descriptor or -errno; *ret_port is the port it got */
int oa_scrape_listen(const struct oa_scrape_addr *addr, unsigned port, oa_loop_lost_fn *lost,
		     unsigned *ret_port);

/* Text of the address to scrape, "127.0.0.1:9464": loopback where it listens on all. */
void oa_scrape_target(char *ret_text, size_t cap, const struct oa_scrape_addr *addr, unsigned port);

/* -- scrape_accept.c: content negotiation -- */

struct oa_scrape_format {
	bool openmetrics;
	const char *content_type;
};
/* accept: the Accept header, or empty. Always answers with something: text 0.0.4 when nothing fits.
 */
struct oa_scrape_format oa_scrape_negotiate(struct oa_bytes accept);

/* -- scrape_http.c: evhttp on one listener, one connection at a time -- */

/* Serves the listening descriptor. returns 0 or -errno (then the descriptor is the caller's still)
 */
int oa_scrape_http_start(int listen_fd);
/* Stops: resets the open connection and unhooks the listener, whose descriptor is not touched. */
void oa_scrape_http_stop(void);
/* Child after fork. */
void oa_scrape_http_forget(void);

/* -- scrape_sd.c: Prometheus' file_sd -- */

/* Writes the file when its content changed; every minute it also removes those of dead processes.
 */
void oa_scrape_sd_update(const char *target, uint64_t now_ns);
/* Removes ours. runs on any thread; signal-safe: yes */
void oa_scrape_sd_remove(void);
void oa_scrape_sd_forget(void);

/* -- scrape.c -- */
/* Called by scrape_http.c when a connection comes in: a process of the tree may only have wanted
 * our ear. */
void oa_scrape_look_at_yield(void);
/* accept() failed: the listener is closed, the next tick opens one. */
void oa_scrape_on_listener_error(void);
