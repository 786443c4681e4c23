//go:build !linux

package e2e

import "errors"

func isolate() (release func(), err error) { return nil, errors.New("network namespaces need Linux") }
