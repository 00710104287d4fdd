// Package world is what a service needs around it: stand-ins for Kinesis, DynamoDB and S3 as processes of their own, clients
// of them, a stream that can be resharded, a producer that writes down what it does, and a look at what is visible.
//
// The stand-ins are ours (kcltest and s3gw), or those that others wrote (kinesalite, dynalite, versitygw). Nothing here
// knows the service.
package world
