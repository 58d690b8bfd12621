/* Life of connections as the host's calls tell it: numbers that come, go and come again, copies, forks, attempts that
 * fail, ends in the middle. Where the kernel is asked, real sockets answer. */
#include "tests/unit/conn_rig.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conn/internal.h"
#include "conn/feed.h"
#include "core/clock.h"
#include "core/thread.h"

#define FD 510
#define GET "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define SECOND_NS 1000000000u

static struct oa_conn *conn_of(int fd)
{
	return oa_conn_at(atomic_load(&oa_fd_peek(fd)->conn));
}

static void host_closes(int fd)
{
	oa_conn_before_close(fd);
	rig_reap(); /* the made-up number is no open descriptor: the side thread sees it gone */
}

static void eof(int fd)
{
	oa_conn_on_received(fd, "", 100, 0, 0, 0);
}

static void assert_next(const char *target, enum oa_error error)
{
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	ck_assert(rig_str_is(s, OA_STR_TARGET, target));
	ck_assert_uint_eq(s->error, error);
}

static void assert_none(void)
{
	ck_assert_ptr_null(rig_next());
}

/* A connected pair of TCP sockets, the second one accepted. */
static void tcp_pair(int s[2])
{
	struct sockaddr_in a = rig_addr(0);
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(l, (struct sockaddr *)&a, len), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&a, &len), 0);
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(s[0], (struct sockaddr *)&a, len), 0);
	len = sizeof(a);
	s[1] = accept(l, (struct sockaddr *)&a, &len);
	ck_assert_int_ge(s[1], 0);
	oa_conn_on_accepted(l, s[1], (struct sockaddr *)&a, len, false);
	close(l);
}

/* -- numbers -- */

START_TEST(conn_closed_in_the_middle_of_a_request_is_abandoned)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	host_closes(FD);
	assert_next("/a", OA_ERR_ABANDONED);
	assert_none();
	ck_assert(!oa_fd_tracked(FD));
}
END_TEST

START_TEST(conn_closed_by_a_client_that_was_served_leaves_nothing_more)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
	eof(FD);
	host_closes(FD);
	assert_none();
}
END_TEST

START_TEST(conn_whose_peer_left_before_the_answer_was_closed_by_it)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	eof(FD);
	assert_none(); /* a client may close its half and still wait for the answer */
	host_closes(FD);
	assert_next("/a", OA_ERR_CONNECTION_CLOSED);
}
END_TEST

START_TEST(conn_half_closed_by_its_client_is_answered_all_the_same)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	eof(FD);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

START_TEST(conn_close_ends_an_exchange_at_the_time_of_the_call_not_of_the_look)
{
	const struct oa_span *s;
	uint64_t closed;

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	oa_conn_before_close(FD);
	closed = oa_now_ns();
	usleep(2000);
	rig_reap();
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_le(s->start_ns + s->duration_ns, closed);
}
END_TEST

START_TEST(conn_number_used_again_means_the_new_connection)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	oa_conn_before_close(FD);
	rig_accept(FD, false); /* before anybody looked */
	assert_next("/a", OA_ERR_ABANDONED);
	rig_receive(FD, "GET /b HTTP/1.1\r\n\r\n");
	rig_reap();
	rig_respond(FD);
	assert_next("/b", OA_ERR_NONE);
	assert_none();
}
END_TEST

START_TEST(conn_number_used_again_without_a_close_we_saw_ends_the_old_one)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	oa_conn_on_socket(FD, AF_INET, SOCK_STREAM); /* libuv closes by a bare system call */
	assert_next("/a", OA_ERR_ABANDONED);
	rig_accept(FD + 1, false);
	rig_receive(FD + 1, GET);
	oa_conn_on_wake_fd(FD + 1);
	assert_next("/a", OA_ERR_ABANDONED);
	rig_accept(FD + 2, false);
	rig_receive(FD + 2, GET);
	oa_conn_on_epoll_fd(FD + 2);
	assert_next("/a", OA_ERR_ABANDONED);
	assert_none();
}
END_TEST

START_TEST(conn_that_is_being_closed_is_not_looked_at)
{
	int s[2];

	rig_start();
	tcp_pair(s);
	rig_receive(s[1], GET);
	oa_conn_before_close(s[1]);
	close(s[1]);
	oa_conn_reap(false); /* too early to tell: a look may hold on to what the host lets go */
	assert_none();
	rig_reap();
	assert_next("/a", OA_ERR_ABANDONED);
}
END_TEST

START_TEST(conn_close_by_a_vfork_child_does_not_end_it)
{
	int s[2];

	rig_start();
	tcp_pair(s);
	rig_receive(s[1], GET);
	oa_conn_before_close(s[1]); /* the child closed its copy; ours is open */
	rig_reap();
	assert_none();
	ck_assert(oa_fd_tracked(s[1]));
	rig_respond(s[1]);
	assert_next("/a", OA_ERR_NONE);
	rig_receive(s[1], "GET /b HTTP/1.1\r\n\r\n");
	oa_conn_before_close(s[1]);
	close(s[1]);
	rig_reap();
	assert_next("/b", OA_ERR_ABANDONED);
	assert_none();
}
END_TEST

START_TEST(conn_number_that_means_another_socket_now_is_not_taken_for_the_old_one)
{
	int s[2], other[2];

	rig_start();
	tcp_pair(s);
	rig_receive(s[1], GET);
	oa_conn_before_close(s[1]);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
	ck_assert_int_eq(dup2(other[0], s[1]), s[1]); /* by a bare system call */
	rig_receive(s[1], "GET /not-ours HTTP/1.1\r\n\r\n");
	assert_next("/a", OA_ERR_ABANDONED);
	rig_respond(s[1]);
	assert_none();
	ck_assert(!oa_fd_tracked(s[1]));
}
END_TEST

START_TEST(conn_range_of_numbers_is_closed_like_each_of_them)
{
	rig_start();
	for (int fd = FD; fd < FD + 4; fd++) {
		rig_accept(fd, false);
		rig_receive(fd, GET);
	}
	oa_conn_before_close_range(FD + 1, FD + 2);
	rig_reap();
	assert_next("/a", OA_ERR_ABANDONED);
	assert_next("/a", OA_ERR_ABANDONED);
	assert_none();
	ck_assert(oa_fd_tracked(FD) && oa_fd_tracked(FD + 3));
	oa_conn_before_close_range(3, UINT32_MAX);
	rig_reap();
	assert_next("/a", OA_ERR_ABANDONED);
	assert_next("/a", OA_ERR_ABANDONED);
	oa_conn_before_close_range(UINT32_MAX, UINT32_MAX);
}
END_TEST

START_TEST(conn_above_all_limits_is_counted_not_tracked)
{
	rig_start();
	rig_accept(OA_FDS_MAX, false);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_untracked_fd), 1);
	for (int i = 0; i <= OA_CONNS_MAX; i++)
		rig_accept(1000 + i, false);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_untracked_pool), 1);
	ck_assert(oa_fd_tracked(1000 + OA_CONNS_MAX - 1));
	ck_assert(!oa_fd_tracked(1000 + OA_CONNS_MAX));
}
END_TEST

START_TEST(conn_comes_and_goes_for_ever_without_a_leak)
{
	rig_start();
	for (int i = 0; i < 2 * OA_CONNS_MAX; i++) {
		rig_accept(FD, false);
		if (i % 64 == 0)
			rig_receive(FD, "GET / HT"); /* it holds a block when it goes */
		oa_conn_before_close(FD);
		if (i % 2)
			oa_conn_reap(true);
	}
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_untracked_pool), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_text_pool), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_conns_server), 2 * OA_CONNS_MAX);
}
END_TEST

/* -- copies -- */

START_TEST(conn_lives_until_its_last_number_is_closed)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	oa_conn_on_dup(FD, FD + 1);
	host_closes(FD);
	assert_none();
	rig_respond(FD + 1);
	assert_next("/a", OA_ERR_NONE);
	rig_receive(FD + 1, "GET /b HTTP/1.1\r\n\r\n");
	host_closes(FD + 1);
	assert_next("/b", OA_ERR_ABANDONED);
	assert_none();
}
END_TEST

START_TEST(conn_reads_one_number_and_writes_the_other)
{
	rig_start();
	rig_accept(FD, false);
	oa_conn_on_dup(FD, FD + 1); /* stdio servers: one FILE for each direction */
	rig_receive(FD, GET);
	rig_respond(FD + 1);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

START_TEST(conn_copied_over_another_ends_that_one)
{
	rig_start();
	rig_accept(FD, false);
	rig_accept(FD + 1, false);
	rig_receive(FD + 1, GET);
	oa_conn_before_close(FD + 1); /* as before a real dup2 */
	oa_conn_on_dup(FD, FD + 1);
	assert_next("/a", OA_ERR_ABANDONED);
	rig_receive(FD + 1, "GET /b HTTP/1.1\r\n\r\n");
	rig_respond(FD);
	assert_next("/b", OA_ERR_NONE);
	oa_conn_on_dup(FD, FD); /* dup2 on itself closes nothing */
	rig_receive(FD, GET);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

START_TEST(conn_overwritten_by_a_descriptor_of_no_interest_is_over)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	oa_conn_before_close(FD);
	oa_conn_on_dup(3, FD); /* 3 is a file */
	assert_next("/a", OA_ERR_ABANDONED);
	ck_assert(!oa_fd_tracked(FD));
}
END_TEST

/* -- processes -- */

/* Runs f in a child that has gone through our fork handlers. */
static int in_child(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		oa_tree_forget();
		oa_conn_after_fork_child();
		f();
		_exit(0);
	}
	oa_conn_after_fork_parent();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void child_closes(void)
{
	oa_tree_claim();
	host_closes(FD);
	if (rig_next())
		_exit(1);
}

START_TEST(conn_closed_by_both_sides_of_a_fork_is_abandoned_by_none)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	ck_assert_int_eq(in_child(child_closes), 0);
	host_closes(FD);
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_shared), 2);
}
END_TEST

static void child_answers(void)
{
	const struct oa_span *s;

	oa_tree_claim();
	rig_respond(FD);
	s = rig_next();
	if (!s || s->status != 200 || !rig_str_is(s, OA_STR_TARGET, "/a") || s->pid != (uint32_t)getpid())
		_exit(1);
	if (rig_next())
		_exit(2);
}

START_TEST(conn_request_read_before_a_fork_is_reported_by_who_answers)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	ck_assert_int_eq(in_child(child_answers), 0);
	host_closes(FD);
	assert_none();
}
END_TEST

static void child_serves(void)
{
	rig_receive(FD, GET);
	rig_respond(FD);
	/* Nobody has claimed a slot for this process by hand. */
	if (!rig_next())
		_exit(1);
}

START_TEST(conn_accepted_by_the_parent_and_served_by_the_child_is_reported)
{
	rig_start();
	rig_accept(FD, false);
	ck_assert_int_eq(in_child(child_serves), 0);
	host_closes(FD);
	assert_none();
}
END_TEST

static void child_serves_anew(void)
{
	rig_accept(FD, false);
	rig_receive(FD, GET);
	rig_respond(FD);
	if (!rig_next() || rig_next())
		_exit(1);
	rig_receive(FD, GET);
	host_closes(FD);
	if (rig_next()->error != OA_ERR_ABANDONED)
		_exit(2);
}

START_TEST(conn_of_a_child_itself_is_like_any)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	ck_assert_int_eq(in_child(child_serves_anew), 0);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

START_TEST(conn_request_read_after_a_fork_is_the_readers_own)
{
	rig_start();
	rig_accept(FD, false);
	oa_conn_after_fork_parent();
	rig_receive(FD, GET);
	host_closes(FD);
	assert_next("/a", OA_ERR_ABANDONED);
}
END_TEST

/* -- connecting -- */

static void attempt(int fd, int result, int err, uint64_t ago_ns)
{
	struct sockaddr_in a = rig_addr(8080);

	oa_conn_on_connect(fd, (struct sockaddr *)&a, sizeof(a), result, err, oa_now_ns() - ago_ns);
}

/* A non-blocking attempt that is under way. */
static void attempt_begins(int fd, uint64_t ago_ns)
{
	rig_start();
	oa_conn_on_socket(fd, AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	attempt(fd, -1, EINPROGRESS, ago_ns);
	assert_none();
}

static void assert_failed(enum oa_error error)
{
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->what, OA_WHAT_CONNECT);
	ck_assert_uint_eq(s->kind, OA_KIND_CLIENT);
	ck_assert_uint_eq(s->error, error);
	ck_assert_uint_eq(s->peer.port, 8080);
	assert_none();
}

static uint32_t connect_us_of_a_call(int fd)
{
	rig_send(fd, GET, SIZE_MAX, NULL);
	rig_receive(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	return rig_next()->connect_us;
}

START_TEST(conn_attempt_that_fails_is_a_span_with_its_error)
{
	const struct oa_span *s;
	uint64_t before;

	rig_start();
	oa_conn_on_socket(FD, AF_INET, SOCK_STREAM);
	before = oa_now_ns();
	attempt(FD, -1, ECONNREFUSED, 5000000);
	s = rig_next();
	ck_assert_uint_eq(s->what, OA_WHAT_CONNECT);
	ck_assert_uint_eq(s->error, OA_ERR_ECONNREFUSED);
	ck_assert_uint_ge(s->duration_ns, 5000000);
	ck_assert_uint_le(s->start_ns, before);
	attempt(FD, -1, ETIMEDOUT, 0); /* the same socket tries again */
	ck_assert_uint_eq(rig_next()->error, oa_error_from_errno(ETIMEDOUT));
	host_closes(FD);
	assert_none();
}
END_TEST

START_TEST(conn_attempt_that_succeeds_tells_how_long_it_took)
{
	rig_start();
	oa_conn_on_socket(FD, AF_INET, SOCK_STREAM);
	attempt(FD, 0, 0, 7000000);
	ck_assert_uint_ge(connect_us_of_a_call(FD), 7000);
	ck_assert_uint_eq(connect_us_of_a_call(FD), 0); /* the first use alone */
}
END_TEST

START_TEST(conn_attempt_under_way_ends_with_what_so_error_says)
{
	attempt_begins(FD, 3000000);
	oa_conn_on_so_error(FD, 0);
	ck_assert_uint_ge(connect_us_of_a_call(FD), 3000);
	attempt_begins(FD + 1, 3000000);
	oa_conn_on_so_error(FD + 1, ECONNREFUSED);
	assert_failed(OA_ERR_ECONNREFUSED);
	oa_conn_on_so_error(FD + 1, ECONNREFUSED);
	host_closes(FD + 1);
	assert_none();
}
END_TEST

START_TEST(conn_attempt_under_way_ends_with_the_second_connect)
{
	attempt_begins(FD, 3000000);
	attempt(FD, -1, EALREADY, 0);
	assert_none();
	attempt(FD, -1, EISCONN, 0);
	ck_assert_uint_ge(connect_us_of_a_call(FD), 3000);
	attempt_begins(FD + 1, 0);
	attempt(FD + 1, -1, ECONNREFUSED, 0);
	assert_failed(OA_ERR_ECONNREFUSED);
}
END_TEST

START_TEST(conn_attempt_under_way_ends_with_the_first_byte_or_error)
{
	struct iovec iov = { (void *)(uintptr_t)GET, strlen(GET) };
	struct oa_send s;

	attempt_begins(FD, 3000000);
	ck_assert_uint_ge(connect_us_of_a_call(FD), 0);
	attempt_begins(FD + 1, 0);
	oa_conn_before_send(FD + 1, &iov, 1, 0, &s);
	ck_assert_int_eq(oa_conn_after_send(&s, -1, ECONNREFUSED), -1);
	assert_failed(OA_ERR_ECONNREFUSED);
	attempt_begins(FD + 2, 0);
	oa_conn_on_received(FD + 2, NULL, 10, -1, EAGAIN, 0);
	assert_none();
	oa_conn_on_received(FD + 2, NULL, 10, -1, ECONNREFUSED, 0);
	assert_failed(OA_ERR_ECONNREFUSED);
}
END_TEST

START_TEST(conn_attempt_interrupted_by_a_signal_goes_on)
{
	rig_start();
	oa_conn_on_socket(FD, AF_INET, SOCK_STREAM);
	attempt(FD, -1, EINTR, 2000000);
	assert_none();
	ck_assert_uint_ge(connect_us_of_a_call(FD), 0);
}
END_TEST

START_TEST(conn_attempt_given_up_at_once_is_counted_and_after_a_second_timed_out)
{
	attempt_begins(FD, 0);
	host_closes(FD); /* happy eyeballs: the other family won */
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_connect_abandoned), 1);
	attempt_begins(FD, 2ull * SECOND_NS);
	host_closes(FD);
	assert_failed(OA_ERR_TIMEOUT);
}
END_TEST

START_TEST(conn_attempt_that_says_nothing_about_the_peer_is_no_span)
{
	static const int errs[] = { EBADF, EFAULT, EINVAL, EISCONN, EAFNOSUPPORT, ENOTSOCK, EAGAIN };
	struct sockaddr un = { .sa_family = AF_UNIX, .sa_data = "/x" };

	rig_start();
	oa_conn_on_socket(FD, AF_INET, SOCK_STREAM);
	for (unsigned i = 0; i < sizeof(errs) / sizeof(*errs); i++)
		attempt(FD, -1, errs[i], 0);
	oa_conn_on_socket(FD, AF_UNIX, SOCK_STREAM);
	oa_conn_on_connect(FD, &un, sizeof(un), -1, ENOENT, 0); /* programs probe for sockets all the time */
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_conns_client), 0);
}
END_TEST

START_TEST(conn_datagram_socket_is_no_connection)
{
	rig_start();
	oa_conn_on_socket(FD, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC);
	attempt(FD, 0, 0, 0);
	ck_assert_uint_eq(oa_fd_peek(FD)->kind, OA_FD_WAKE);
	oa_conn_on_socket(FD + 1, AF_NETLINK, SOCK_STREAM);
	ck_assert_uint_eq(oa_fd_peek(FD + 1)->kind, OA_FD_WAKE);
	oa_conn_on_socket(FD + 2, AF_INET6, SOCK_STREAM | SOCK_CLOEXEC);
	ck_assert_uint_eq(oa_fd_peek(FD + 2)->kind, OA_FD_STREAM);
}
END_TEST

START_TEST(conn_socket_made_before_we_looked_is_asked_what_it_is)
{
	int stream = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);

	rig_start();
	attempt(stream, 0, 0, 0);
	attempt(datagram, 0, 0, 0);
	ck_assert(oa_fd_tracked(stream));
	ck_assert(!oa_fd_tracked(datagram));
}
END_TEST

START_TEST(conn_used_again_for_another_address_is_another_one)
{
	struct sockaddr_in other = rig_addr(9090);

	rig_start();
	oa_conn_on_socket(FD, AF_INET, SOCK_STREAM);
	attempt(FD, 0, 0, 0);
	rig_send(FD, GET, SIZE_MAX, NULL);
	oa_conn_on_connect(FD, (struct sockaddr *)&other, sizeof(other), 0, 0, 1);
	assert_next("/a", OA_ERR_ABANDONED);
	rig_send(FD, GET, SIZE_MAX, NULL);
	rig_receive(FD, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert_uint_eq(rig_next()->peer.port, 9090);
}
END_TEST

/* -- ends -- */

START_TEST(conn_reset_is_the_error_of_what_was_under_way)
{
	const struct oa_span *s;

	rig_start();
	rig_connect(FD);
	rig_send(FD, GET, SIZE_MAX, NULL);
	oa_conn_on_received(FD, NULL, 10, -1, EAGAIN, 0);
	oa_conn_on_received(FD, NULL, 10, -1, EINTR, 0);
	assert_none();
	rig_receive(FD, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!");
	oa_conn_on_received(FD, NULL, 10, -1, ECONNRESET, 0);
	s = rig_next();
	ck_assert_uint_eq(s->error, OA_ERR_ECONNRESET);
	ck_assert_uint_eq(s->status, 200);
	ck_assert_uint_eq(s->resp_body, 5);
	ck_assert(s->flags & OA_SPAN_INCOMPLETE);
	rig_accept(FD + 1, false);
	rig_receive(FD + 1, GET);
	oa_conn_on_received(FD + 1, NULL, 10, -1, ECONNRESET, 0);
	assert_next("/a", OA_ERR_ECONNRESET);
	host_closes(FD);
	host_closes(FD + 1);
	assert_none();
}
END_TEST

START_TEST(conn_broken_pipe_while_answering_is_the_error_of_the_request)
{
	struct iovec iov = { (void *)(uintptr_t)"HTTP/1.1 200 OK\r\n", 17 };
	struct oa_send s;

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	oa_conn_before_send(FD, &iov, 1, 0, &s);
	ck_assert_int_eq(oa_conn_after_send(&s, -1, EAGAIN), -1);
	assert_none();
	oa_conn_before_send(FD, &iov, 1, 0, &s);
	ck_assert_int_eq(oa_conn_after_send(&s, -1, EPIPE), -1);
	assert_next("/a", oa_error_from_errno(EPIPE));
}
END_TEST

START_TEST(conn_request_that_the_kernel_refused_was_never_made)
{
	rig_start();
	rig_connect(FD);
	ck_assert_int_eq(rig_send(FD, GET, 0, NULL), -1); /* EAGAIN */
	host_closes(FD);
	assert_none();
	ck_assert_int_eq(oa_self->active_client[OA_METHOD_GET][0], 0);
}
END_TEST

START_TEST(conn_shut_down_by_the_server_completes_its_answer)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, "GET /a HTTP/1.0\r\n\r\n");
	rig_send(FD, "HTTP/1.0 200 OK\r\n\r\nall of it", SIZE_MAX, NULL);
	assert_none();
	oa_conn_on_shutdown(FD, SHUT_RD);
	assert_none();
	oa_conn_on_shutdown(FD, SHUT_WR);
	assert_next("/a", OA_ERR_NONE);
	host_closes(FD);
	assert_none();
}
END_TEST

START_TEST(conn_closed_by_the_server_completes_its_answer)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, "GET /a HTTP/1.0\r\n\r\n");
	rig_send(FD, "HTTP/1.0 200 OK\r\n\r\nall of it", SIZE_MAX, NULL);
	host_closes(FD);
	assert_next("/a", OA_ERR_NONE);
	rig_accept(FD, false);
	rig_receive(FD, GET);
	rig_send(FD, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!", SIZE_MAX, NULL);
	host_closes(FD);
	assert_next("/a", OA_ERR_ABANDONED);
	assert_none();
}
END_TEST

START_TEST(conn_client_that_stops_reading_an_answer_had_no_error)
{
	const struct oa_span *s;

	rig_start();
	rig_connect(FD);
	rig_send(FD, GET, SIZE_MAX, NULL);
	rig_receive(FD, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!");
	host_closes(FD);
	s = rig_next();
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert(s->flags & OA_SPAN_INCOMPLETE);
	rig_connect(FD);
	rig_send(FD, GET, SIZE_MAX, NULL);
	host_closes(FD); /* before any answer */
	assert_next("/a", OA_ERR_ABANDONED);
}
END_TEST

START_TEST(conn_ignores_bytes_that_were_not_taken_from_the_stream)
{
	static const int flags[] = { MSG_PEEK, MSG_OOB, MSG_ERRQUEUE, MSG_PEEK | MSG_DONTWAIT };
	struct iovec iov = { (void *)(uintptr_t)"x", 1 };
	struct oa_send s;

	rig_start();
	rig_accept(FD, false);
	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		oa_conn_on_received(FD, GET, strlen(GET), (ssize_t)strlen(GET), 0, flags[i]);
	oa_conn_on_received(FD, NULL, 0, 0, 0, 0); /* asked for nothing, got nothing: not the end */
	oa_conn_before_send(FD, &iov, 1, MSG_OOB, &s);
	ck_assert(!s.watched && !s.rewrite);
	rig_receive(FD, GET);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
	assert_none();
}
END_TEST

/* TCP throws them away for MSG_TRUNC; the buffer may be NULL. */
START_TEST(conn_does_not_look_for_bytes_that_were_thrown_away)
{
	struct iovec iov = { NULL, 1 << 20 };

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n");
	oa_conn_on_received(FD, NULL, INT32_MAX, 10, 0, MSG_TRUNC);
	oa_conn_on_received_iov(FD, &iov, 1, 20, 0, MSG_TRUNC | MSG_DONTWAIT);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
	oa_conn_on_received(FD, NULL, INT32_MAX, 36, 0, MSG_TRUNC); /* a request's, as far as anybody knows */
	rig_receive(FD, GET);
	rig_respond(FD);
	assert_none();
}
END_TEST

/* -- threads -- */

static void *receive_elsewhere(void *arg)
{
	rig_receive(FD, arg);
	return NULL;
}

static void from_another_thread(const char *bytes)
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, receive_elsewhere, (void *)(uintptr_t)bytes), 0);
	pthread_join(t, NULL);
}

static void *answer_in_part(void *arg)
{
	rig_receive(FD, GET);
	rig_send(FD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", SIZE_MAX, NULL);
	return arg;
}

/* The kernel copied the descriptors before this one was opened, and the memory after it. */
START_TEST(conn_of_another_thread_is_not_told_of_by_a_forked_child)
{
	pthread_t t;

	rig_start();
	rig_accept(FD, false);
	ck_assert_int_eq(pthread_create(&t, NULL, answer_in_part, NULL), 0);
	pthread_join(t, NULL);
	oa_conn_after_fork_child();
	rig_accept(FD, false); /* the number is free in the child */
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_shared), 1);
	rig_receive(FD, GET);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

START_TEST(conn_handed_from_thread_to_thread_is_followed)
{
	rig_start();
	rig_accept(FD, false);
	from_another_thread("GET /a HTTP/1.1\r\n");
	from_another_thread("\r\n");
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

START_TEST(conn_that_a_thread_never_leaves_is_left_alone)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	ck_assert(oa_conn_lock(conn_of(FD))); /* it was cancelled in the middle */
	from_another_thread("GET /b HTTP/1.1\r\n\r\n");
	oa_conn_unlock(conn_of(FD));
	rig_respond(FD);
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
	host_closes(FD);
	rig_accept(FD, false); /* the next one is like new */
	rig_receive(FD, GET);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

START_TEST(conn_that_another_thread_is_in_is_waited_for)
{
	pthread_t t;

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	t = rig_another_is_in(FD);
	rig_respond(FD);
	pthread_join(t, NULL);
	assert_next("/a", OA_ERR_NONE);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 0);
}
END_TEST

/* The preface of HTTP/2 and the server's first frame are often two threads'. */
START_TEST(conn_that_another_thread_is_in_at_its_first_bytes_is_waited_for)
{
	pthread_t t;

	rig_start();
	rig_accept(FD, false);
	t = rig_another_is_in(FD);
	rig_receive(FD, GET);
	pthread_join(t, NULL);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 0);
}
END_TEST

/* A signal handler on a stack of its own, above that of the thread it interrupted: it would wait for itself. */
START_TEST(conn_is_not_waited_for_where_a_hook_may_have_been_interrupted)
{
	struct oa_guard g;
	pthread_t t;

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	t = rig_another_is_in(FD);
	oa_tls.guard_sp = 16;
	g = oa_guard_enter(0);
	ck_assert(g.on && oa_guard_is_over());
	rig_respond(FD);
	oa_guard_leave(&g);
	pthread_join(t, NULL);
	rig_respond(FD);
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
	g = oa_guard_enter(0);
	ck_assert(g.on && !oa_guard_is_over());
	oa_guard_leave(&g);
}
END_TEST

static void child_answers_over_a_lock_of_the_parents(void)
{
	struct rusage before, after;

	oa_tree_claim();
	getrusage(RUSAGE_THREAD, &before);
	rig_respond(FD);
	host_closes(FD);
	getrusage(RUSAGE_THREAD, &after);
	if (after.ru_nvcsw - before.ru_nvcsw > 100) /* in steps of 50 us it would be 4000 of them */
		_exit(1);
	if (rig_next() || !oa_stat_sum(OA_STAT_opaque_contention))
		_exit(2);
}

START_TEST(conn_that_a_thread_of_the_parent_was_in_is_left_alone_at_once)
{
	pthread_t t;

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	t = rig_another_is_in(FD);
	ck_assert_int_eq(in_child(child_answers_over_a_lock_of_the_parents), 0);
	pthread_join(t, NULL);
	rig_respond(FD);
	assert_next("/a", OA_ERR_NONE);
}
END_TEST

static void child_has_its_own_threads_to_wait_for(void)
{
	const struct oa_span *s;
	pthread_t t;

	oa_tree_claim();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	t = rig_another_is_in(FD);
	rig_respond(FD);
	pthread_join(t, NULL);
	s = rig_next();
	if (!s || s->status != 200)
		_exit(1);
}

START_TEST(conn_of_a_child_that_another_of_its_threads_is_in_is_waited_for)
{
	rig_start();
	ck_assert_int_eq(in_child(child_has_its_own_threads_to_wait_for), 0);
}
END_TEST

/* The answer was missed: that the close came before it would be a lie. */
START_TEST(conn_that_was_left_alone_as_it_closed_is_not_an_error)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, GET);
	ck_assert(oa_conn_lock(conn_of(FD)));
	rig_respond(FD);
	oa_conn_unlock(conn_of(FD));
	host_closes(FD);
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
}
END_TEST

START_TEST(conn_that_two_threads_send_on_at_once_is_left_alone)
{
	struct iovec a = { (void *)(uintptr_t)GET, strlen(GET) }, b = a;
	struct oa_send first, second;

	rig_start();
	rig_connect(FD);
	oa_conn_before_send(FD, &a, 1, 0, &first);
	oa_tls.send_sp = 0; /* another thread's */
	oa_conn_before_send(FD, &b, 1, 0, &second);
	oa_conn_after_send(&first, (ssize_t)strlen(GET) + 70, 0);
	oa_conn_after_send(&second, (ssize_t)strlen(GET) + 70, 0);
	assert_none();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
}
END_TEST

/* -- who is told -- */

static unsigned wanted;

static void count_wanted(void)
{
	wanted++;
}

START_TEST(conn_asks_for_the_side_thread_when_there_is_something_to_watch)
{
	rig_start();
	oa_conn_want_side_thread = count_wanted;
	oa_conn_on_socket(FD, AF_INET, SOCK_STREAM);
	oa_conn_on_listen(FD + 1);
	ck_assert_uint_eq(wanted, 0);
	rig_accept(FD + 2, false);
	ck_assert_uint_eq(wanted, 1);
	rig_connect(FD + 3);
	ck_assert_uint_eq(wanted, 2);
	oa_conn_before_accept(FD + 1);
	ck_assert_uint_eq(wanted, 3);
	oa_conn_before_wait(OA_WAIT_LOOP, -1, -1, true);
	ck_assert_uint_eq(wanted, 4);
	oa_conn_before_wait(OA_WAIT_LOOP, -1, -1, false);
	ck_assert_uint_eq(wanted, 4);
	oa_conn_on_epoll_ctl(FD + 4, 1 /* EPOLL_CTL_ADD */, FD + 1);
	oa_conn_before_wait(OA_WAIT_LOOP, FD + 4, -1, false);
	ck_assert_uint_eq(wanted, 5);
}
END_TEST

START_TEST(conn_knows_the_port_that_was_listened_on)
{
	struct sockaddr_in a = rig_addr(0);
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	rig_start();
	ck_assert_int_eq(bind(l, (struct sockaddr *)&a, len), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&a, &len), 0);
	oa_conn_on_listen(l);
	oa_conn_on_accepted(l, FD, (struct sockaddr *)&a, len, false);
	rig_receive(FD, GET);
	rig_respond(FD);
	ck_assert_uint_eq(rig_next()->local_port, ntohs(a.sin_port));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("conn");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, conn_closed_in_the_middle_of_a_request_is_abandoned);
	tcase_add_test(tc, conn_closed_by_a_client_that_was_served_leaves_nothing_more);
	tcase_add_test(tc, conn_whose_peer_left_before_the_answer_was_closed_by_it);
	tcase_add_test(tc, conn_half_closed_by_its_client_is_answered_all_the_same);
	tcase_add_test(tc, conn_close_ends_an_exchange_at_the_time_of_the_call_not_of_the_look);
	tcase_add_test(tc, conn_number_used_again_means_the_new_connection);
	tcase_add_test(tc, conn_number_used_again_without_a_close_we_saw_ends_the_old_one);
	tcase_add_test(tc, conn_that_is_being_closed_is_not_looked_at);
	tcase_add_test(tc, conn_close_by_a_vfork_child_does_not_end_it);
	tcase_add_test(tc, conn_number_that_means_another_socket_now_is_not_taken_for_the_old_one);
	tcase_add_test(tc, conn_range_of_numbers_is_closed_like_each_of_them);
	tcase_add_test(tc, conn_above_all_limits_is_counted_not_tracked);
	tcase_add_test(tc, conn_comes_and_goes_for_ever_without_a_leak);
	tcase_add_test(tc, conn_lives_until_its_last_number_is_closed);
	tcase_add_test(tc, conn_reads_one_number_and_writes_the_other);
	tcase_add_test(tc, conn_copied_over_another_ends_that_one);
	tcase_add_test(tc, conn_overwritten_by_a_descriptor_of_no_interest_is_over);
	tcase_add_test(tc, conn_closed_by_both_sides_of_a_fork_is_abandoned_by_none);
	tcase_add_test(tc, conn_request_read_before_a_fork_is_reported_by_who_answers);
	tcase_add_test(tc, conn_accepted_by_the_parent_and_served_by_the_child_is_reported);
	tcase_add_test(tc, conn_of_a_child_itself_is_like_any);
	tcase_add_test(tc, conn_request_read_after_a_fork_is_the_readers_own);
	tcase_add_test(tc, conn_attempt_that_fails_is_a_span_with_its_error);
	tcase_add_test(tc, conn_attempt_that_succeeds_tells_how_long_it_took);
	tcase_add_test(tc, conn_attempt_under_way_ends_with_what_so_error_says);
	tcase_add_test(tc, conn_attempt_under_way_ends_with_the_second_connect);
	tcase_add_test(tc, conn_attempt_under_way_ends_with_the_first_byte_or_error);
	tcase_add_test(tc, conn_attempt_interrupted_by_a_signal_goes_on);
	tcase_add_test(tc, conn_attempt_given_up_at_once_is_counted_and_after_a_second_timed_out);
	tcase_add_test(tc, conn_attempt_that_says_nothing_about_the_peer_is_no_span);
	tcase_add_test(tc, conn_datagram_socket_is_no_connection);
	tcase_add_test(tc, conn_socket_made_before_we_looked_is_asked_what_it_is);
	tcase_add_test(tc, conn_used_again_for_another_address_is_another_one);
	tcase_add_test(tc, conn_reset_is_the_error_of_what_was_under_way);
	tcase_add_test(tc, conn_broken_pipe_while_answering_is_the_error_of_the_request);
	tcase_add_test(tc, conn_request_that_the_kernel_refused_was_never_made);
	tcase_add_test(tc, conn_shut_down_by_the_server_completes_its_answer);
	tcase_add_test(tc, conn_closed_by_the_server_completes_its_answer);
	tcase_add_test(tc, conn_client_that_stops_reading_an_answer_had_no_error);
	tcase_add_test(tc, conn_ignores_bytes_that_were_not_taken_from_the_stream);
	tcase_add_test(tc, conn_does_not_look_for_bytes_that_were_thrown_away);
	tcase_add_test(tc, conn_handed_from_thread_to_thread_is_followed);
	tcase_add_test(tc, conn_that_a_thread_never_leaves_is_left_alone);
	tcase_add_test(tc, conn_that_another_thread_is_in_is_waited_for);
	tcase_add_test(tc, conn_that_another_thread_is_in_at_its_first_bytes_is_waited_for);
	tcase_add_test(tc, conn_is_not_waited_for_where_a_hook_may_have_been_interrupted);
	tcase_add_test(tc, conn_that_a_thread_of_the_parent_was_in_is_left_alone_at_once);
	tcase_add_test(tc, conn_of_a_child_that_another_of_its_threads_is_in_is_waited_for);
	tcase_add_test(tc, conn_that_was_left_alone_as_it_closed_is_not_an_error);
	tcase_add_test(tc, conn_of_another_thread_is_not_told_of_by_a_forked_child);
	tcase_add_test(tc, conn_that_two_threads_send_on_at_once_is_left_alone);
	tcase_add_test(tc, conn_asks_for_the_side_thread_when_there_is_something_to_watch);
	tcase_add_test(tc, conn_knows_the_port_that_was_listened_on);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
