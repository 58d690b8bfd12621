#pragma once
/* What a message's destination is called: "exchange:routing key"; one of them where there is no other, or it is the same. */
#include "core/bytes.h"

#define OA_AMQP_PART 64
#define OA_AMQP_ROOM (2 * OA_AMQP_PART + 1)

static inline struct oa_bytes oa_amqp_destination(struct oa_bytes exchange, struct oa_bytes key, uint8_t room[OA_AMQP_ROOM])
{
	if (!exchange.len || !key.len || oa_bytes_eq(exchange, key))
		return exchange.len ? exchange : key;
	exchange = oa_bytes_cut(exchange, OA_AMQP_PART);
	key = oa_bytes_cut(key, OA_AMQP_PART);
	memcpy(room, exchange.ptr, exchange.len);
	room[exchange.len] = ':';
	memcpy(room + exchange.len + 1, key.ptr, key.len);
	return oa_bytes(room, exchange.len + 1 + key.len);
}
