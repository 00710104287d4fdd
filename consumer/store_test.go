package consumer

import "testing"

func TestObjectNames(t *testing.T) {
	for _, stream := range []string{"orders", "my-stream", "a-e1-c2", "x.y_z"} {
		name := objectName(stream, "shardId-000000000012", 1700000000, 42, 3, "json.gz")
		if want := stream + "-000000000012-e1700000000-c42-3.json.gz"; name != want {
			t.Errorf("got the name %s, want %s", name, want)
		}
		shard, epoch, ok := parseObjectName(stream, "data/dt=2026-11-24/"+name)
		if !ok || shard != "shardId-000000000012" || epoch != 1700000000 {
			t.Errorf("%s reads as shard %q, epoch %d, %v", name, shard, epoch, ok)
		}
	}
	for _, foreign := range []string{"", "data/", "orders-1.parquet", "orders2-000000000012-e1-c1-0.parquet", "orders-000000000012-1-1-0.parquet", "orders-000000000012-ex-c1-0.parquet"} {
		if _, _, ok := parseObjectName("orders", foreign); ok {
			t.Errorf("%q is taken for an object of the stream", foreign)
		}
	}
}

func TestSequenceNumbersOrder(t *testing.T) {
	ordered := []string{"9", "10", "49590338271490256608559692538361571095921575989136588898", "49590338271490256608559692538361571095921575989136588899", "149590338271490256608559692538361571095921575989136588898"}
	for i, a := range ordered {
		for j, b := range ordered {
			if after(a, b) != (i > j) {
				t.Errorf("after(%s, %s) is %v", a, b, !(i > j))
			}
		}
	}
}
