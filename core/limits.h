#pragma once
/* Every maximum in one place, each with its reason. Passing one truncates, drops or declines, sets a
 * flag or counts, and never fails the host. */

#define OA_FDS_MAX           (1 << 20) /* descriptors above are not observed; Linux' default fs.nr_open */
#define OA_FD_CHUNK          1024      /* slots mapped at a time: 64 KiB */

#define OA_HTTP_HEADER_MAX   32768 /* one header block; nginx allows 32 KiB, node 16 KiB */
#define OA_HTTP_LINE_MAX     16384 /* request target kept for parsing */
#define OA_TARGET_TEXT_MAX   2048  /* request target kept in a span */
#define OA_HEADER_TEXT_MAX   512   /* one captured header value, user agent, host */
#define OA_TRACESTATE_MAX    1024  /* W3C: at least 512 must travel; 32 members in practice fit */
#define OA_BAGGAGE_MAX       8192  /* W3C baggage: at least 8192 bytes must travel */
#define OA_SPAN_TEXT_MAX     15872 /* text behind one span head; a record is at most 64 slots */
#define OA_LINKS_MAX         4     /* candidates named on a span that has no certain parent */
#define OA_MESSAGE_LINKS_MAX 8     /* of a call that sends or fetches messages: where they were made */
#define OA_INJECT_POINTS_MAX 4     /* pipelined requests rewritten in one call; later ones are skipped */
#define OA_STREAM_POINTS_MAX 120   /* the same for HTTP/2: with their fields they fill 16 KiB */
#define OA_INJECT_BYTES_MAX  10240 /* headers we add to one request: baggage 8 KiB and the rest */
#define OA_STREAMS_MAX       3400  /* open streams of one HTTP/2 connection that are followed: its table is 36 KiB then */
#define OA_PIPELINE_MAX      256   /* open exchanges on one connection; beyond it becomes opaque */

#define OA_PROXY_LINE_MAX    16384 /* a PROXY header with all that follows its addresses; HAProxy takes as much, nginx 4096 */

#define OA_HPACK_TABLE_MAX   65536 /* dynamic table of one direction as HPACK counts; 4096 unless the receiver asks for more */
#define OA_CONTINUATIONS_MAX 32    /* frames behind one HEADERS; nghttp2 allows 8 */

#define OA_CONNS_MAX         (1 << 17) /* tracked connections per process (16 MiB when all are used) */
#define OA_EXCHANGES_MAX     (1 << 16) /* open exchanges per process */
#define OA_THREADS_MAX       4096      /* threads with their own context state; more have none */

#define OA_TLS_SESSIONS_MAX  (1 << 16) /* TLS sessions with a connection of their own */
#define OA_TLS_HELLOS        4096      /* handshakes begun on sockets whose session is awaited */
#define OA_TLS_RECORD_MAX    16384     /* plain text of one TLS record: what we compose never needs a second */

#define OA_SLOT_BYTES        256  /* unit of the rings */
#define OA_RING_SLOTS        2048 /* per CPU shard: 10 ms at 100 000 two-slot spans per second */
#define OA_SHARDS_MAX        8    /* more CPUs share shards */
#define OA_QUEUE_SLOTS       4096 /* spans waiting for export: OTEL_BSP_MAX_QUEUE_SIZE's default, two slots each */

#define OA_PROCS_MAX         128  /* live processes of one pre-fork tree with a slot of their own */
#define OA_UNITS             48   /* 1 MiB pieces of shared ring memory in a tree */
#define OA_UNIT_BYTES        ((1 << 20) + 4096) /* two shard rings or one queue, with their heads */
#define OA_SERIES_MAX        2000 /* OpenTelemetry's cardinality limit; surplus goes to the overflow series */
#define OA_WARNED_MAX        64   /* different warnings of a tree; more would be noise */
#define OA_LABELS_BYTES      384  /* packed labels of one series */

#define OA_ARENA_MAX         (64u << 20) /* side thread's private heap */
