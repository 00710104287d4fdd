// Serves one peer (kinesalite or dynalite) on a free port of 127.0.0.1 and prints its URL. Their own commands listen on every address and
// take no port 0. It ends when its standard input does, so that no server outlives the test that started it, however that ended.
const [name] = process.argv.slice(-1);
const options = {
  createStreamMs: 20, deleteStreamMs: 20, updateStreamMs: 20, shardLimit: 1000,
  createTableMs: 20, deleteTableMs: 20, updateTableMs: 20,
};
const server = require(name)(options);
server.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port));
// Both throw when a client goes away in the midst of a request. It is the client's fault, and no reason to end.
process.on('uncaughtException', (error) => {
  if (error.code !== 'ECONNRESET' && error.message !== 'aborted') {
    console.error(error);
    process.exit(1);
  }
});
process.stdin.on('end', () => process.exit(0)).resume();
