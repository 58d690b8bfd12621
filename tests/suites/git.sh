# Of git only what speaks to servers.
source=git
packages="git gcc make apache2 libcurl4-openssl-dev libexpat1-dev zlib1g-dev libssl-dev perl"

prepare()
{
	make -j2 NO_GETTEXT=1 NO_TCLTK=1
}

list()
{
	for test in t/t5500-fetch-pack t/t55*http* t/t5570-git-daemon t/t5581-http-curl-verbose t/t5601-clone; do
		test=$(basename "$test" .sh)
		printf '%s\tenv -C t GIT_TEST_HTTPD=1 GIT_TEST_INSTALLED=/usr/bin bash ./%s.sh --root=%s\n' \
			"$test" "$test" '$(mktemp -d)'
	done
}
