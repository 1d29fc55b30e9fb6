# Images for both architectures: docker buildx bake -f host/packaging/bake.hcl
group "default" {
  targets = ["sandbook"]
}

variable "TAG" {
  default = "latest"
}

target "sandbook" {
  dockerfile = "Dockerfile"
  tags       = ["sandbook:${TAG}"]
  platforms  = ["linux/amd64", "linux/arm64"]
}
