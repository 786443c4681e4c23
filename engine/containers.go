package engine

import (
	"context"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// Standalone is how many containers run on this engine that are no task of a
// service.
func (c *Client) Standalone(ctx context.Context) (int, error) {
	count := 0
	err := c.call(ctx, "container list", infoTimeout, func(ctx context.Context) error {
		list, err := c.api.ContainerList(ctx, container.ListOptions{})
		if err != nil {
			return err
		}
		count = 0
		for _, one := range list {
			if one.Labels["com.docker.swarm.task.id"] == "" {
				count++
			}
		}
		return nil
	})
	return count, err
}

// Containers is how many containers of a service's tasks run on this engine.
func (c *Client) Containers(ctx context.Context, service string) (int, error) {
	count := 0
	err := c.call(ctx, "container list", infoTimeout, func(ctx context.Context) error {
		list, err := c.api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "com.docker.swarm.service.name="+service))})
		count = len(list)
		return err
	})
	return count, err
}
