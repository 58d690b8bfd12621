source=redis
packages="redis-server redis-tools tcl"

# The suite looks for the programs in src: there it finds the installed ones.
prepare()
{
	for program in server cli benchmark check-aof check-rdb; do
		ln -s /usr/bin/redis-$program src/redis-$program
	done
}

list()
{
	number=0
	for unit in auth acl client-eviction expire info introspection introspection-2 keyspace latency-monitor limits \
		multi networking obuf-limits protocol pubsub querybuf replybufsize scripting shutdown tracking wait \
		type/list type/stream type/string; do
		number=$((number + 1))
		printf '%s\t./runtest --clients 1 --single unit/%s --baseport %s\n' $unit $unit $((21000 + number * 300))
	done
	printf 'redis-cli\t./runtest --clients 1 --single integration/redis-cli --baseport 29000\n'
}
