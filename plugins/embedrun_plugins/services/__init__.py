"""Everything outside of this process: HTTP, AWS, SageMaker, Docker, TEI, other processes."""
