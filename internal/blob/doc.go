// Package blob keeps content by its digest: inputs, scripts, artifacts, logs,
// and payloads too large for a workflow's history. Content is checked against
// its digest on the way in and on the way out; what a digest names is whole,
// and on disk before Put returns.
//
// The store is any bucket that gocloud.dev/blob opens by URL. This package
// links the drivers for folders (file:///var/lib/symbi/blobs) and memory
// (mem://). A build that wants S3, Google Cloud Storage or Azure imports
// gocloud.dev/blob/s3blob, gcsblob or azureblob for its effect, beside this
// package: each registers its scheme, and Open takes its URLs (s3://bucket).
//
// Cache is a node's copies of blobs, from which tasks get their inputs.
package blob
