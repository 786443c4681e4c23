package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a node sees of the host is listed here; nothing else is visible, whatever
// is added to the host later. A node's root is the upper folder of its disk. On
// top of it are overlays: the folders of programs, and the package manager's
// records, over the host's own; /etc over a copy of what is needed of the host's.

// programFolders are the folders at the root that hold programs; on most hosts all
// but /usr are links.
func programFolders() []string {
	return []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}
}

// ofUsr is what nodes see of /usr, and ofLocal of /usr/local; the rest there is
// hidden when a node starts.
func ofUsr() []string {
	return []string{"bin", "games", "include", "lib", "lib32", "lib64", "libexec", "libx32", "local", "sbin", "share"}
}

func ofLocal() []string {
	return []string{"bin", "lib", "lib64", "libexec", "sbin", "share"}
}

// records are the package managers' own, so that a node can install packages.
func records() []string {
	return []string{
		"/var/lib/dpkg", "/var/lib/apt", "/var/lib/ucf", "/var/lib/pam", "/var/cache/debconf",
		"/var/lib/rpm", "/var/lib/dnf", "/var/lib/alternatives",
	}
}

// ofEtc is what nodes need of the host's /etc: how programs are found, loaded
// and spoken with, and whom the package manager trusts. Patterns of
// filepath.Match.
func ofEtc() []string {
	return []string{
		"adduser.conf", "alternatives", "apparmor", "apparmor.d", "apt/apt.conf", "apt/apt.conf.d", "apt/keyrings",
		"apt/preferences", "apt/preferences.d", "apt/sources.list", "apt/sources.list.d", "apt/trusted.gpg",
		"apt/trusted.gpg.d", "authselect", "bash.bashrc", "bash_completion", "bash_completion.d", "bashrc",
		"bindresvport.blacklist", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debconf.conf",
		"debian_version", "default/locale", "default/useradd", "deluser.conf", "dnf", "dpkg", "ethertypes",
		"fedora-release", "gai.conf", "host.conf", "init.d", "inputrc", "iproute2", "issue", "issue.net", "ld.so.cache",
		"ld.so.conf", "ld.so.conf.d", "libaudit.conf", "locale.alias", "locale.conf", "locale.gen", "localtime",
		"login.defs", "lsb-release", "magic", "magic.mime", "manpath.config", "mime.types", "mke2fs.conf", "mtab",
		"netconfig", "networks", "nsswitch.conf", "os-release", "pam.conf", "pam.d", "perl", "pki/ca-trust",
		"pki/rpm-gpg", "pki/tls/cert.pem", "pki/tls/certs", "pki/tls/openssl.cnf", "profile", "profile.d", "protocols",
		"python3*", "rc?.d", "redhat-release", "rpc", "rpm", "security", "services", "shells", "skel", "ssl/cert.pem",
		"ssl/certs", "ssl/openssl.cnf", "sudo.conf", "system-release", "terminfo", "timezone", "ucf.conf", "vconsole.conf",
		"xattr.conf", "yum.conf", "yum.repos.d",
	}
}

// ownFolders are folders of a node in which nothing is the host's.
func ownFolders() []folder {
	return []folder{
		{"/home", 0o755}, {"/root", 0o700}, {"/mnt", 0o755}, {"/media", 0o755}, {"/opt", 0o755}, {"/srv", 0o755},
		{"/boot", 0o755}, {"/dev", 0o755}, {"/proc", 0o555}, {"/run", 0o755}, {"/sys", 0o555}, {"/tmp", 0o777 | os.ModeSticky},
		{"/etc/docker", 0o755}, {"/etc/ssh", 0o755}, {"/etc/ssl/private", 0o710}, {"/etc/sudoers.d", 0o750},
		{"/etc/default", 0o755}, {"/etc/apt", 0o755}, {"/etc/opt", 0o755},
		{"/var/lib/docker", 0o710}, {"/var/lib/containerd", 0o711}, {"/var/lib/misc", 0o755},
		{"/var/cache/apt/archives/partial", 0o755}, {"/var/backups", 0o755}, {"/var/local", 0o755}, {"/var/log", 0o755},
		{"/var/log/apt", 0o755}, {"/var/mail", 0o755}, {"/var/opt", 0o755}, {"/var/spool/cron", 0o755},
		{"/var/tmp", 0o777 | os.ModeSticky},
	}
}

// overlay is one of a node's, at path; lower is a folder of the host's.
type overlay struct{ path, lower string }

// overlays lists those of a node on this host; etc is the copy of its /etc.
func overlays(etc string) []overlay {
	all := []overlay{{"/etc", etc}}
	for _, name := range programFolders() {
		if path := "/" + name; isFolder(path) {
			all = append(all, overlay{path, path})
		}
	}
	for _, path := range records() {
		if isFolder(path) {
			all = append(all, overlay{path, path})
		}
	}
	return all
}

// isFolder tells whether path is a folder, and no link to one.
func isFolder(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.IsDir()
}

// copyEtc makes the copy of what nodes see of the host's /etc, one for all. It is
// made again only when no node runs: what is below an overlay must not change.
func copyEtc(final string, inUse bool) error {
	if inUse && isFolder(final) {
		return nil
	}
	half := final + halfSuffix
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if err := copyOf(half, "/etc", ofEtc()); err != nil {
		return fmt.Errorf("copy what nodes need of /etc: %w", err)
	}
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return os.Rename(half, final)
}

// copyOf makes the folder to with what the patterns name below from.
func copyOf(to, from string, patterns []string) error {
	if err := copyFolder(to, from); err != nil {
		return err
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			name := strings.TrimPrefix(path, from)
			for i, c := range name { // the folders on the way
				if dir := name[:i]; c == '/' && i > 0 && !isFolder(to+dir) {
					if err := copyFolder(to+dir, from+dir); err != nil {
						return err
					}
				}
			}
			if err := copyTree(to+name, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTree copies what is at from and below, but for what others may not read.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return gone(err)
		}
		fi, err := e.Info()
		if err != nil {
			return gone(err)
		}
		target := to + strings.TrimPrefix(path, from)
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return gone(err)
			}
			return os.Symlink(link, target)
		case !forOthers(fi):
			if fi.IsDir() {
				return fs.SkipDir
			}
			return nil
		case fi.IsDir():
			return copyFolder(target, path)
		case fi.Mode().IsRegular():
			return copyFile(target, path, fi)
		}
		return nil
	})
}

// gone ignores what the host removed meanwhile.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// forOthers tells whether everybody on the host may read a file, run it, or
// look into a folder.
func forOthers(fi fs.FileInfo) bool {
	if fi.IsDir() {
		return fi.Mode()&0o005 == 0o005
	}
	return fi.Mode()&0o005 != 0
}

func copyFolder(to, from string) error {
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	return chownLike(to, fi)
}

func copyFile(to, from string, fi fs.FileInfo) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return gone(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = copyContent(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return chownLike(to, fi)
}

// chownLike gives what is at path the owner and mode of fi.
func chownLike(path string, fi fs.FileInfo) error {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, fi.Mode())
}

// frame makes what every node's root has: its own folders, the host's links to
// programs, the mount points of the overlays, and the whiteouts that hide what
// is in the host's folders and not for nodes. What exists is kept.
func (t *tree) frame() {
	for _, f := range ownFolders() {
		if _, err := t.root.Lstat(inside(f.path)); err != nil {
			t.own(f.path, f.mode, 0)
		}
	}
	for _, name := range programFolders() {
		if to, err := os.Readlink("/" + name); err == nil {
			t.link("/"+name, to)
		}
	}
	t.link("/var/run", "/run")
	t.link("/var/lock", "/run/lock")
	for _, o := range overlays("") {
		t.mkdir(o.path)
	}
	t.hideOthers("/usr", ofUsr())
	t.hideOthers("/usr/local", ofLocal())
	for _, name := range ofLocal() {
		t.hideSecrets(filepath.Join("/usr/local", name))
	}
	t.hideSecrets("/var/lib/apt")
	t.hideSecrets("/var/cache/debconf")
}

// mountRoot assembles a node's root at target. The caller is in a mount namespace
// of its own.
func mountRoot(dk disk, etc, target string) error {
	if err := unix.Mount(dk.upper(), target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dk.upper(), err)
	}
	// Root in the node can have put links anywhere: os.Root follows none out of here.
	upper, err := os.OpenRoot(dk.upper())
	if err != nil {
		return err
	}
	defer upper.Close()
	root, err := os.OpenRoot(target)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, o := range overlays(etc) {
		if err := o.mount(upper, root, dk.work()); err != nil {
			return fmt.Errorf("overlay at %s: %w", o.path, err)
		}
	}
	return nil
}

func (o overlay) mount(upper, root *os.Root, works string) error {
	up, err := upper.Open(inside(o.path))
	if err != nil {
		return err
	}
	defer up.Close()
	at, err := root.Open(inside(o.path))
	if err != nil {
		return err
	}
	defer at.Close()
	work := filepath.Join(works, strings.ReplaceAll(inside(o.path), "/", "-"))
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	return mountOverlay(fdPath(at), o.lower, fdPath(up), work)
}

// fdPath is a path to an open file that no rename changes.
func fdPath(f *os.File) string { return fmt.Sprintf("/proc/thread-self/fd/%d", f.Fd()) }

// mountOverlay mounts an overlay at target. Its upper and work folders are of
// one mount.
func mountOverlay(target, lower, upper, work string) error {
	// A comma parts mount options and a colon parts lower folders.
	quote := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace
	return unix.Mount("overlay", target, "overlay", 0,
		"lowerdir="+quote(lower)+",upperdir="+quote(upper)+",workdir="+quote(work))
}
