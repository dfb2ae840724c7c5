package load

import "context"

// payloads stores and works tasks of 100 bytes, 10 kB and 200 kB: two cases each.
func payloads(ctx context.Context, r *Run, emit Emit) error {
	const most = 200_000_000 // bytes stored in a case
	Default(&r.Tasks, 20_000)
	tasks := r.Tasks
	for _, size := range []struct {
		bytes int
		name  string
	}{{100, "100B"}, {10_000, "10kB"}, {200_000, "200kB"}} {
		r.Payload, r.Tasks = size.bytes, min(tasks, most/size.bytes)
		s, err := r.Open(ctx, r.Setup())
		if err != nil {
			return err
		}
		err = r.drain(ctx, s, "insert "+size.name, "work "+size.name, func(result Result) error {
			result.Megabytes = Figure(*result.PerSecond * float64(size.bytes) / 1e6)
			return emit(result)
		})
		s.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
