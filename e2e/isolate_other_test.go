//go:build !linux

package e2e

import "errors"

func isolate() error { return errors.New("network namespaces need Linux") }
