"""Texts of errors in Vietnamese."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "Không thể xử lý yêu cầu.",
    "The request is not valid.": "Yêu cầu không hợp lệ.",
    "The request is larger than allowed.": "Yêu cầu lớn hơn mức cho phép.",
    "You belong to several tenants; say which.": "Bạn thuộc nhiều tổ chức; hãy cho biết tổ chức nào.",
    "A code of your second factor is needed.": "Cần có mã xác thực lớp thứ hai của bạn.",
    "Too many failed attempts.": "Quá nhiều lần thử không thành công.",
    "The conversation is longer than the context window of the model.": (
        "Cuộc trò chuyện dài hơn cửa sổ ngữ cảnh của mô hình."
    ),
    "This is not supported.": "Tính năng này không được hỗ trợ.",
    "The model's service does not accept this request.": "Dịch vụ của mô hình không chấp nhận yêu cầu này.",
    "The request contains content that is not allowed.": "Yêu cầu chứa nội dung không được phép.",
    "A valid API key or token is required.": "Cần có khóa API hoặc mã truy cập hợp lệ.",
    "This credential does not allow the request.": "Thông tin xác thực này không cho phép thực hiện yêu cầu.",
    "Requests from this address are not allowed.": "Không cho phép yêu cầu từ địa chỉ này.",
    "This tenant is suspended.": "Tổ chức này đã bị tạm ngưng.",
    "Requests from this web page are not allowed.": "Không cho phép yêu cầu từ trang web này.",
    "This chat takes no visitors.": "Cuộc trò chuyện này không tiếp khách truy cập.",
    "There is nothing at this address.": "Không có gì ở địa chỉ này.",
    "There is no such model.": "Không có mô hình này.",
    "There is no such session.": "Không có phiên này.",
    "There is no such summary.": "Không có bản tóm tắt này.",
    "The tenant has chosen no model for summaries.": "Tổ chức chưa chọn mô hình để tóm tắt.",
    "There is nothing to sum up yet.": "Chưa có gì để tóm tắt.",
    "The session was changed while it was summed up.": "Phiên đã bị thay đổi trong khi đang được tóm tắt.",
    "The model made no summary.": "Mô hình không đưa ra bản tóm tắt nào.",
    "There is no such turn.": "Không có lượt này.",
    "This session has no such version, or it is no longer kept.": (
        "Phiên này không có phiên bản đó, hoặc phiên bản không còn được lưu giữ."
    ),
    "There is no such snapshot.": "Không có ảnh chụp nhanh này.",
    "There is a session of this id already.": "Đã có phiên mang mã định danh này.",
    "There is no such API key.": "Không có khóa API này.",
    "There is no such member.": "Không có thành viên này.",
    "There is no such invitation.": "Không có lời mời này.",
    "There is no such address.": "Không có địa chỉ này.",
    "There is no such allowance.": "Không có hạn mức này.",
    "There is no such plugin.": "Không có plugin này.",
    "There is no such tenant.": "Không có tổ chức này.",
    "This key is revoked.": "Khóa này đã bị thu hồi.",
    "This key has ended.": "Khóa này đã hết hạn.",
    "This key may do more than you may give.": "Khóa này có nhiều quyền hơn mức bạn được cấp cho người khác.",
    "Your role does not allow changing this member.": "Vai trò của bạn không cho phép thay đổi thành viên này.",
    "This invitation is not open any more.": "Lời mời này không còn hiệu lực.",
    "It has been accepted: remove the member instead.": "Lời mời đã được chấp nhận: hãy xóa thành viên.",
    "This model is switched off.": "Mô hình này đã bị tắt.",
    "This model is not in service yet: try again in a second.": "Mô hình này chưa hoạt động: hãy thử lại sau một giây.",
    "This model is the platform's: its operators change it.": (
        "Mô hình này thuộc về nền tảng: chỉ người vận hành nền tảng mới thay đổi được."
    ),
    "Only an operator of the platform may do this.": "Chỉ người vận hành nền tảng mới được làm việc này.",
    "This tenant is being taken off the platform.": "Tổ chức này đang được gỡ khỏi nền tảng.",
    "This method is not allowed here.": "Phương thức này không được phép ở đây.",
    "The resource was changed meanwhile.": "Tài nguyên đã bị thay đổi trong lúc đó.",
    "The turn was cancelled.": "Lượt này đã bị hủy.",
    "The caller's own deadline has passed.": "Đã quá thời hạn do bên gọi đặt ra.",
    "Too many turns wait for this session.": "Quá nhiều lượt đang chờ phiên này.",
    "The previous response was not found.": "Không tìm thấy phản hồi trước đó.",
    "This idempotency key was used with another request.": "Khóa bất biến này đã được dùng cho một yêu cầu khác.",
    "The first request with this idempotency key is still being answered.": (
        "Yêu cầu đầu tiên với khóa bất biến này vẫn đang được xử lý."
    ),
    "Too many requests.": "Quá nhiều yêu cầu.",
    "The budget is used up.": "Ngân sách đã hết.",
    "The model's service failed.": "Dịch vụ của mô hình gặp lỗi.",
    "The model's service did not answer in time.": "Dịch vụ của mô hình không phản hồi kịp thời.",
    "The model's service asks to wait.": "Dịch vụ của mô hình yêu cầu chờ.",
    "The service is not available right now.": "Dịch vụ hiện không khả dụng.",
    "The turn was cut off before its end.": "Lượt này bị ngắt trước khi kết thúc.",
    "The audit journal cannot record this request right now.": "Nhật ký kiểm toán hiện không thể ghi lại yêu cầu này.",
    "A store of the service cannot be reached right now.": "Hiện không thể truy cập kho lưu trữ của dịch vụ.",
    "The service is overloaded.": "Dịch vụ đang quá tải.",
    "A plugin that has to take part in this request did not do its work.": (
        "Một plugin bắt buộc phải tham gia yêu cầu này đã không hoàn thành công việc."
    ),
}
