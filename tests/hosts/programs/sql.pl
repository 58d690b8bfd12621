# DBI: statements prepared by the server and by the driver, transactions, an error.  Usage: sql.pl DSN USER PASSWORD FAILING LAST
use strict;
use DBI;

my ($dsn, $user, $password, $failing, $last) = @ARGV;
my $c = DBI->connect($dsn, $user, $password, { RaiseError => 0, PrintError => 0, AutoCommit => 1 }) or die $DBI::errstr;
$c->do("CREATE TEMPORARY TABLE t (id int, name text)");
$c->begin_work;
my $insert = $c->prepare("INSERT INTO t VALUES (?, ?)");
$insert->execute($_, "hunter2") for 1 .. 5;
$c->commit;
print scalar(@{ $c->selectall_arrayref("SELECT name FROM t WHERE name = 'hunter2' AND id > ?", {}, 2) }), "\n";
$c->do($failing) or print $c->err, " ", $c->state, "\n";
print scalar(@{ $c->selectall_arrayref($last) }), "\n";
$c->disconnect;
