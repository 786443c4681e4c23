//go:build !linux && !darwin && !windows

package vagrant

import "errors"

func freeDisk(string) (uint64, error)                { return 0, errors.ErrUnsupported }
func memoryOf() (available, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
func hyperVAdmin() bool                              { return false }
