# Tests of another version than the node that is installed differ, and hang, both ways.
source=nodejs
packages="nodejs"
jobs=1	# they share a folder
seconds=30

prepare()
{
	test -d test/parallel
}

list()
{
	for area in http https http2 net tls cluster child-process dgram pipe process worker signal socket tcp stdio; do
		for test in test/parallel/test-"$area"-*.js; do
			flags=$(sed -n 's|^// Flags:||p' "$test" | head -n 1)
			printf '%s\tnode --expose-internals %s %s\n' "$(basename "$test" .js)" "$flags" "$test"
		done
	done
}
