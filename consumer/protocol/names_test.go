package protocol

import "testing"

func TestObjectNames(t *testing.T) {
	for _, stream := range []string{"orders", "my-stream", "a-e1-c2", "x.y_z"} {
		names := Names{Stream: stream}
		name := names.Object("shardId-000000000012", 1700000000, 42, 3, "json.gz")
		if want := stream + "-000000000012-e1700000000-c42-3.json.gz"; name != want {
			t.Errorf("got the name %s, want %s", name, want)
		}
		shard, epoch, commit, ok := names.ParseObject("data/dt=2026-11-24/" + name)
		if !ok || shard != "shardId-000000000012" || epoch != 1700000000 || commit != 42 {
			t.Errorf("%s reads as shard %q, epoch %d, commit %d, %v", name, shard, epoch, commit, ok)
		}
	}
	for _, foreign := range []string{"", "data/", "orders-1.parquet", "orders2-000000000012-e1-c1-0.parquet", "orders-000000000012-1-1-0.parquet", "orders-000000000012-ex-c1-0.parquet", "orders-000000000012-e1-cx-0.parquet"} {
		if _, _, _, ok := (Names{Stream: "orders"}).ParseObject(foreign); ok {
			t.Errorf("%q is taken for an object of the stream", foreign)
		}
	}
}
