// Page bundles the page of dcalab serve: web/ui and web/vendor into web/dist, which is
// committed, so that dcalab is built without this module. "go generate ./web" runs it.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: page ROOT")
		os.Exit(2)
	}
	files, err := bundle(os.Args[1])
	if err == nil {
		err = write(filepath.Join(os.Args[1], "web", "dist"), files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bundle gives the files of the page, by name.
func bundle(root string) (map[string][]byte, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	vendor := filepath.Join(root, "web", "vendor")
	done := api.Build(api.BuildOptions{
		AbsWorkingDir: filepath.Join(root, "web"),
		EntryPoints:   []string{"ui/page.tsx", "ui/page.css", "ui/xterm.ts"},
		Outdir:        "dist",
		Bundle:        true, MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
		Format: api.FormatESModule, Target: api.ES2022, Charset: api.CharsetUTF8, LegalComments: api.LegalCommentsNone,
		JSXFactory: "h", JSXFragment: "Fragment",
		Alias: map[string]string{
			"preact":               filepath.Join(vendor, "preact", "preact.mjs"),
			"preact/hooks":         filepath.Join(vendor, "preact", "hooks.mjs"),
			"@preact/signals":      filepath.Join(vendor, "@preact", "signals", "signals.mjs"),
			"@xterm/xterm":         filepath.Join(vendor, "@xterm", "xterm", "xterm.mjs"),
			"@xterm/addon-fit":     filepath.Join(vendor, "@xterm", "addon-fit", "addon-fit.mjs"),
			"@preact/signals-core": filepath.Join(vendor, "@preact", "signals-core", "signals-core.mjs"),
		},
	})
	for _, m := range done.Errors {
		err = errors.Join(err, errors.New(api.FormatMessages([]api.Message{m}, api.FormatMessagesOptions{})[0]))
	}
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, f := range done.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	files["page.html"], err = os.ReadFile(filepath.Join(root, "web", "ui", "page.html"))
	return files, err
}

func write(to string, files map[string][]byte) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(to, name), text, 0o644); err != nil { //nolint:gosec // they are committed
			return err
		}
	}
	return nil
}
