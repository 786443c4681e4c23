# Tells what is new in the newest file of the write-ahead log in the folder that is
# named, each time that it is asked. What is asked and told is in follow.go.
use strict;
use warnings;
use IO::Select;

my ($dir) = @ARGV;
my $max = 1 << 20;
my ($file, $name, $inode) = (undef, "-", 0);
my $in = IO::Select->new(\*STDIN);
$| = 1;

sub newest {
    opendir(my $d, $dir) or return;
    my ($n) = sort { $b cmp $a } grep { /^[0-9a-f]{16}-[0-9a-f]{16}\.wal$/ } readdir($d);
    return $n;
}

# Opens the newest file, where that is not the one that is open; there may be none.
sub other {
    my $n = newest();
    return $file ? (undef, "-", 0) : () if !defined $n;
    my @s = stat("$dir/$n") or return;
    return if $s[1] == $inode;
    open(my $f, "<:raw", "$dir/$n") or return;
    return ($f, $n, (stat $f)[1]);
}

# How many bytes of records there are at a place.
sub records {
    my ($at) = @_;
    my $end = $at;
    while ($end - $at < $max) {
        sysseek($file, $end, 0);
        last if (sysread($file, my $head, 8) // 0) < 8;
        my ($low, $high) = unpack("VV", $head);
        last if $low == 0 && $high == 0;
        last if $high & 0xffffff; # no record has 4 GiB
        $end += 8 + $low + ($high >> 31 ? ($high >> 24) & 7 : 0);
    }
    return $end - $at;
}

while (my $line = <STDIN>) {
    my ($known, $at, $wait) = split ' ', $line;
    for (my $round = 0; ; $round++) {
        $at = 0 if $known ne $inode;
        my $n = $file ? records($at) : 0;
        if ($known ne $inode || !$n && (!$file || $round % 10 == 0)) {
            if (my @new = other()) {
                # What was written before there was a new one goes first.
                $n = records($at) if $file && $known eq $inode;
                if (!$n) {
                    ($file, $name, $inode) = @new;
                    $at = 0;
                    $n = $file ? records(0) : 0;
                }
            }
        }
        if ($n || $known ne $inode || !$wait) {
            sysseek($file, $at, 0) if $n;
            my ($data, $got) = ("", 0);
            while ($got < $n) {
                my $r = sysread($file, $data, $n - $got, $got);
                last unless $r;
                $got += $r;
            }
            print "$name $inode $at $got\n", $data;
            last;
        }
        last if $in->can_read($file ? 0.02 : 0.25); # a worker costs nearly nothing
    }
}
